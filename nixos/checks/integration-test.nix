# A guest as `run-NAME-vm` starts it, and one that is given an identity as ai-vm gives it: who they are, who may log in, what
# of the host they see, and what is still there after a restart.
{ self, ... }:
{
  name = "ai-vm-integration";

  nodes = {
    plain = {
      imports = [ self.nixosModules.default ];
      ai-vm.name = "plain";
    };
    launched = {
      imports = [ self.nixosModules.default ];
      ai-vm = {
        name = "launched";
        users = [ "dev" ];
      };
      virtualisation.credentials = {
        "ai-vm.user".text = "somebody";
        "ai-vm.uid".text = "1234";
        "ai-vm.authorized_keys".text = "ssh-ed25519 AAAA somebody";
        "ai-vm.boot".text = "this-boot";
      };
    };
  };

  testScript = ''
    start_all()

    for machine in plain, launched:
        machine.wait_for_unit("multi-user.target")
        machine.wait_for_open_port(22)

    with subtest("a guest without credentials works by itself"):
        assert plain.succeed("hostname").strip() == "plain"
        plain.fail("test -e /run/ai-vm/boot")
        plain.succeed("ssh-keygen -lf /run/ai-vm/ssh_host_ed25519_key")
        plain.succeed("sudo -u dev sudo -n true")
        plain.succeed("test $(stat -c %a /run/ai-vm/ssh_host_ed25519_key) = 600")

    with subtest("a launch says who the guest is"):
        assert launched.succeed("cat /run/ai-vm/boot") == "this-boot"
        assert launched.succeed("id -u somebody").strip() == "1234"
        launched.succeed("sudo -u somebody sudo -n true")
        launched.succeed("grep -q somebody /run/ai-vm/authorized_keys/somebody")

    with subtest("keys only, and the one host key"):
        configuration = plain.succeed("sshd -T -f /etc/ssh/sshd_config")
        for line in (
            "passwordauthentication no",
            "permitemptypasswords no",
            "kbdinteractiveauthentication no",
            "permitrootlogin no",
            "hostkey /run/ai-vm/ssh_host_ed25519_key",
        ):
            assert line in configuration, f"{line} is not in {configuration}"
        assert configuration.count("hostkey /") == 1

    with subtest("nothing of the host but its store, which cannot be written to"):
        plain.fail("mountpoint /tmp/shared")
        plain.fail("mountpoint /tmp/xchg")
        plain.succeed("mount -o remount,rw /nix/.ro-store || true")
        plain.fail("touch /nix/.ro-store/written")

    with subtest("what agents work with"):
        plain.succeed(
            "sudo -iu dev sh -c 'for tool in curl wget git vim nano htop tree unzip fish rsync bat jq file tmux fd rg"
            " node python3 rustc cargo go gcc make claude start-claude rebuild; do command -v $tool || exit 1; done'"
        )

    with subtest("what was built is there after a restart, and hidden paths come back"):
        path = plain.succeed("echo built >/tmp/built && nix-store --add /tmp/built").strip()
        hidden = plain.succeed("ls /nix/.ro-store | head -n1").strip()
        plain.succeed(f"mknod /nix/.rw-store/upper/{hidden}.gone c 0 0 && sync")
        plain.shutdown()
        plain.start()
        plain.wait_for_unit("multi-user.target")
        plain.succeed(f"nix-store --verify-path {path}")
        plain.fail(f"test -e /nix/.rw-store/upper/{hidden}.gone")

    with subtest("the configuration is made once"):
        plain.succeed("git -C /etc/nixos log --format=%s | grep -x 'As ai-vm made it'")
        assert plain.succeed("cat /etc/nixos/hostname").strip() == "plain"
        plain.succeed("echo '# mine' >>/etc/nixos/configuration.nix && systemctl restart ai-vm-configuration")
        plain.succeed("grep -x '# mine' /etc/nixos/configuration.nix")
  '';
}

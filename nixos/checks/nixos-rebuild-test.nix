# The guest rebuilds itself, without network, from the flake in /etc/nixos, with the tools that it has: `rebuild`, and
# `nixos-rebuild switch` without a word more. What it records for its next boot is what it now runs.
{
  nixpkgs,
  ours,
  self,
  ...
}:
let
  lock = (import ../lib { inherit (nixpkgs) lib; }).lock.lockFor nixpkgs;
  spec = {
    name = "guest";
    ram = "4gb";
  };
  # The same system as the guest will come to, built here, so that nothing is left to build there. If the guest comes to
  # another one, it has to build it without network, and fails.
  rebuilt = ours.makeCustomVM (spec // { modules = [ ./rebuilt.nix ]; });
in
{
  name = "ai-vm-nixos-rebuild";

  nodes.guest = {
    imports = [ self.nixosModules.default ];
    ai-vm = spec;
    ai-vm-lock = lock;
    nixpkgs.flake.source = nixpkgs.outPath;
    virtualisation.additionalPaths = [ rebuilt.config.system.build.toplevel ];
    virtualisation.emptyDiskImages = [
      {
        size = 512;
        driveConfig.deviceExtraOpts.serial = "ai-vm-boot";
      }
    ];
  };

  testScript = ''
    guest.wait_for_unit("multi-user.target")
    guest.wait_for_file("/etc/nixos/flake.nix")
    guest.copy_from_host_via_shell("${./rebuilt.nix}", "/etc/nixos/configuration.nix")

    with subtest("rebuild applies, says what changed and commits"):
        said = guest.succeed("rebuild 2>&1")
        print(said)
        assert "what changed" in said and "hello" in said
        assert "restart is needed" in said
        assert guest.succeed("cat /etc/rebuilt") == "yes"
        guest.succeed("sudo -iu dev hello")
        assert guest.succeed("readlink -f /run/current-system").strip() == "${rebuilt.config.system.build.toplevel}"
        guest.succeed("git -C /etc/nixos log -1 --format=%s | grep '^switch nixos-system-guest-'")

    with subtest("the record is whole"):
        guest.succeed("mkdir /tmp/record && tar xf /dev/disk/by-id/virtio-ai-vm-boot -C /tmp/record")
        guest.succeed("grep -qF ${rebuilt.config.system.build.toplevel} /tmp/record/boot.json")
        for member in "kernel", "initrd":
            guest.succeed(f"cmp /tmp/record/{member} /run/current-system/{member}")

    with subtest("nixos-rebuild without a word more does the same"):
        guest.succeed("nixos-rebuild switch")
        assert guest.succeed("readlink -f /run/current-system").strip() == "${rebuilt.config.system.build.toplevel}"

    with subtest("a configuration that is wrong changes nothing"):
        guest.succeed("echo '{ services.opensshd.enable = true; }' >/etc/nixos/configuration.nix")
        assert "opensshd" in guest.fail("rebuild 2>&1")
        assert guest.succeed("cat /etc/rebuilt") == "yes"
        guest.succeed("git -C /etc/nixos status --porcelain | grep configuration.nix")
  '';
}

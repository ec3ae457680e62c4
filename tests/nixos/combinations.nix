# Every combination of what a guest can have, evaluated, and what must hold of each.
{ lib }:
let
  guest = import ./guest.nix { inherit lib; };
  ours = import ../../nixos {
    inherit (guest) nixpkgs;
    system = "x86_64-linux";
  };

  choices = {
    overlay = [
      { }
      { overlay = true; }
    ];
    store = [
      { }
      { store = "image"; }
    ];
    desktop = [
      { }
      { desktop = true; }
      {
        desktop = true;
        resolution = "1920x1080";
      }
    ];
    audio = [
      { }
      { audio = true; }
    ];
    nested = [
      { }
      { nested = true; }
    ];
    passwords = [
      { }
      { allowEmptyPasswords = true; }
    ];
    ports = [
      { }
      {
        ports = [
          "8080:80"
          22
        ];
      }
    ];
    shares = [
      { }
      {
        sharedRW = [
          "/srv/a"
          "/home/a"
        ];
        sharedRO = [ "/srv/a,readonly=off '\${x}'" ];
      }
    ];
    people = [
      { }
      {
        users = [
          {
            name = "ops";
            uid = 1001;
            keys = [ "ssh-ed25519 AAAA ops" ];
          }
          "dev"
        ];
        git = false;
      }
    ];
  };

  combinations = lib.foldl' (
    some: key: lib.concatMap (one: map (choice: one // choice) choices.${key}) some
  ) [ { } ] (lib.attrNames choices);

  # What must hold, by name.
  laws =
    spec: evaluated:
    let
      inherit (evaluated) config;
      is = key: spec.${key} or false;
      run = config.virtualisation.qemu.options;
      folders = lib.filter (lib.hasPrefix "-virtfs") run;
      readOnly = lib.filter (lib.hasInfix "readonly=on") folders;
      ports = spec.ports or null;
      mounts = config.fileSystems;
      drives =
        if config.virtualisation.qemu.drives == null then [ ] else config.virtualisation.qemu.drives;
    in
    {
      "no assertion fails" = guest.failures evaluated == [ ];
      "nothing of the host is shared unasked" =
        config.virtualisation.sharedDirectories == { }
        && !(mounts ? "/tmp/shared")
        && !(mounts ? "/tmp/xchg");
      "read-only is QEMU's to enforce" =
        lib.length readOnly
        == lib.length (spec.sharedRO or [ ]) + (if spec.store or "host" == "host" then 1 else 0)
        && lib.length folders == lib.length readOnly + lib.length (spec.sharedRW or [ ]);
      "the store is the host's or a disk, never both" =
        mounts."/nix/.ro-store".fsType == (if spec.store or "host" == "host" then "9p" else "erofs")
        && lib.length drives == (if spec.store or "host" == "host" then 0 else 1)
        && mounts."/nix/store".overlay.lowerdir == [ "/nix/.ro-store" ];
      "what is built is kept as long as what tells of it" =
        config.virtualisation.writableStoreUseTmpfs == is "overlay"
        && (mounts ? "/nix/.rw-store") == is "overlay"
        && (mounts ? "/nix/var") == is "overlay"
        && (config.boot.initrd.systemd.services ? ai-vm-clean-overlay) == !(is "overlay");
      "nobody collects garbage by itself" =
        !config.nix.gc.automatic
        && !config.nix.optimise.automatic
        && !config.nix.settings.auto-optimise-store;
      "forwards listen on loopback" = lib.all (
        forward: forward.host.address == "127.0.0.1"
      ) config.virtualisation.forwardPorts;
      "the firewall has the forwarded ports or trusts the one way in" =
        if ports == null then
          config.networking.firewall.trustedInterfaces == [ "eth0" ]
          && config.networking.firewall.allowedTCPPorts == [ ]
        else
          config.networking.firewall.trustedInterfaces == [ ]
          &&
            config.networking.firewall.allowedTCPPorts == [
              80
              22
            ];
      "passwords only if asked for" =
        config.services.openssh.settings.PasswordAuthentication == is "allowEmptyPasswords"
        && config.services.openssh.settings.PermitEmptyPasswords == is "allowEmptyPasswords"
        && lib.all (user: (user.hashedPassword == "") == is "allowEmptyPasswords") (
          lib.attrValues config.users.users
        );
      "everybody may use sudo" =
        !config.security.sudo.wheelNeedsPassword
        && lib.all (user: lib.elem "wheel" user.extraGroups) (lib.attrValues config.users.users);
      "sound and screen as asked for" =
        config.services.pipewire.enable == is "audio"
        && config.services.desktopManager.plasma6.enable == is "desktop"
        && config.virtualisation.graphics == is "desktop"
        && lib.any (lib.hasPrefix "-device intel-hda") run == is "audio"
        && lib.elem "video=1920x1080" config.boot.kernelParams == (spec ? resolution);
      "who it is comes at launch" =
        config.networking.hostName == ""
        && config.system.name == "ai-vm"
        && !config.services.openssh.generateHostKeys;
      "the manifest is what the run script starts" =
        let
          content = config.system.build.ai-vm.given.manifest.given.value;
          plain = builtins.unsafeDiscardStringContext;
          cmdline = plain content.cmdline;
        in
        content.features == {
          overlay = is "overlay";
          audio = is "audio";
          desktop = is "desktop";
          resolution = spec.resolution or null;
        }
        && content.store.kind == (spec.store or "host")
        && lib.hasInfix "panic=1 " cmdline
        && lib.hasInfix (plain "init=${config.system.build.toplevel}/init regInfo=${config.system.build.ai-vm-registration}/registration ") cmdline
        && lib.hasSuffix "console=ttyS0,115200n8" cmdline;
    };

  outcome =
    spec:
    let
      evaluated = ours.makeCustomVM spec;
      settings = guest.settingsOf evaluated;
      held = laws spec evaluated;
    in
    {
      inherit spec;
      # All values, forced; a short text that differs where they do.
      digest = builtins.hashString "sha256" (builtins.toJSON settings);
      broken = lib.filter (law: !held.${law}) (lib.attrNames held);
    };
  outcomes = map outcome combinations;
in
{
  count = lib.length outcomes;
  laws = lib.length (lib.attrNames (laws { } (ours.makeCustomVM { })));
  failed = lib.filter (one: one.broken != [ ]) outcomes;
  # Another library must come to the same values.
  digest = builtins.hashString "sha256" (lib.concatMapStrings (one: one.digest) outcomes);
  # No two combinations may be the same guest.
  different = lib.length (lib.unique (map (one: one.digest) outcomes));
}

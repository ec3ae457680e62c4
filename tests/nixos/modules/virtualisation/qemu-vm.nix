# What nixpkgs' qemu-vm.nix does with values that the guest's modules have to get right: its shares, which it mounts
# writable and at boot, its own file systems in place of all others, its network and its way to start.
{
  config,
  lib,
  declared,
  ...
}:
let
  cfg = config.virtualisation;
in
{
  imports = [ declared.qemu ];

  virtualisation.sharedDirectories = {
    shared = {
      source = ''"''${SHARED_DIR:-$TMPDIR/xchg}"'';
      target = "/tmp/shared";
      securityModel = "none";
    };
    xchg = {
      source = ''"$TMPDIR"/xchg'';
      target = "/tmp/xchg";
      securityModel = "none";
    };
    nix-store = lib.mkIf cfg.mountHostNixStore {
      source = "/nix/store";
      target = "/nix/.ro-store";
      securityModel = "none";
    };
  };

  virtualisation.fileSystems = lib.mkMerge [
    (lib.listToAttrs (
      map (tag: {
        name = cfg.sharedDirectories.${tag}.target;
        value = {
          device = tag;
          fsType = "9p";
          neededForBoot = true;
          options = [
            "trans=virtio"
            "version=9p2000.L"
          ];
        };
      }) (lib.attrNames cfg.sharedDirectories)
    ))
    {
      "/" = {
        device = cfg.rootDevice;
        fsType = "ext4";
      };
      "/nix/.rw-store" = lib.mkIf (cfg.writableStore && cfg.writableStoreUseTmpfs) {
        fsType = "tmpfs";
        options = [ "mode=0755" ];
        neededForBoot = true;
      };
    }
  ];
  fileSystems = lib.mkOverride 10 cfg.fileSystems;

  virtualisation.additionalPaths = [ config.system.build.toplevel ];
  virtualisation.qemu.options = [
    "-device virtio-keyboard"
    "-kernel ${config.system.build.toplevel}/kernel"
  ];
  networking.usePredictableInterfaceNames = false;
  networking.dhcpcd.extraConfig = "noarp";
  services.timesyncd.enable = false;
}

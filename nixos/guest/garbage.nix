# Garbage collection over a store that is an overlay.
#
# Nix in the guest takes every path of the host's store that is not of the image's closure for garbage. Deleting it leaves a
# whiteout in the overlay, which hides the path for good, also from a later system of the host that needs it. So no timer
# collects here; `ai-vm-collect-garbage` deletes what the guest has made itself; and whiteouts that somebody brought about
# all the same are removed at the next start, while the overlay is not mounted yet.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  program = import ./program.nix { inherit pkgs; };
  clean = "ai-vm-clean-overlay";
in
{
  assertions =
    let
      never = option: value: {
        assertion = !value;
        message = "ai-vm: ${option} would hide paths of the host's store in this VM; use `ai-vm-collect-garbage`";
      };
    in
    [
      (never "nix.gc.automatic" config.nix.gc.automatic)
      (never "nix.optimise.automatic" config.nix.optimise.automatic)
      (never "nix.settings.auto-optimise-store" config.nix.settings.auto-optimise-store)
    ];

  nix.gc.automatic = lib.mkDefault false;
  nix.optimise.automatic = lib.mkDefault false;
  nix.settings.auto-optimise-store = lib.mkDefault false;

  environment.systemPackages = [
    (program {
      name = "ai-vm-collect-garbage";
      script = "collect-garbage";
      inputs = [
        pkgs.coreutils
        pkgs.findutils
        config.nix.package
      ];
    })
  ];

  boot.initrd.systemd.services.${clean} = lib.mkIf (!config.ai-vm.overlay) {
    description = "Clean the overlay of the Nix store";
    # The directory is made by the unit that nixpkgs has for this mount, and its content is looked at before the mount.
    after = [ "rw-sysroot-nix-store.service" ];
    before = [ "sysroot-nix-store.mount" ];
    wantedBy = [ "sysroot-nix-store.mount" ];
    unitConfig = {
      DefaultDependencies = false;
      RequiresMountsFor = "/sysroot/nix/.rw-store";
    };
    serviceConfig.Type = "oneshot";
    # The initial RAM disk has its tools there.
    script = ''
      PATH=/bin:''${PATH-}
      set -- /sysroot/nix/.rw-store/upper
      ${builtins.readFile ../scripts/clean-overlay.sh}
    '';
  };
}

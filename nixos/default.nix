# What the flake offers for a system, from the inputs of the flake.
{
  nixpkgs,
  system,
}:
let
  inherit (nixpkgs) lib;
  ours = import ./lib { inherit lib; };

  # The modules of a guest of this specification. The guest's own flake (guest-flake/flake.nix) has the same.
  modulesFor =
    spec: modules:
    [
      ./guest
      {
        nixpkgs.hostPlatform = system;
        ai-vm = lib.mapAttrs (_: lib.mkDefault) spec;
        ai-vm-lock = ours.lock.lockFor nixpkgs;
      }
    ]
    ++ modules;
in
{
  inherit (ours.size) parseSize;

  # Builds a VM: bin/run-NAME-vm, which works by itself, and manifest.json, from which ai-vm launches. The arguments are
  # those of lib/spec.nix, and `modules`, a list of NixOS modules. The result has the whole configuration as `config`.
  makeCustomVM =
    {
      modules ? [ ],
      ...
    }@arguments:
    let
      spec = removeAttrs arguments [ "modules" ];
      guest = lib.nixosSystem { modules = modulesFor spec modules; };
    in
    # Before anything else is evaluated, because an error in here is the caller's, and is said in our words.
    builtins.seq (ours.spec.normalise spec) (
      guest.config.system.build.ai-vm // { inherit (guest) config options; }
    );
}

# The configuration of this VM. `rebuild` applies it, and so does `nixos-rebuild switch`.
{
  description = "The configuration of this VM";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { nixpkgs, ... }:
    let
      inherit (nixpkgs) lib;
      inherit (import ./modules/lib { inherit lib; }) lock text;

      vm = lib.nixosSystem {
        modules = [
          ./modules/guest
          ./hardware-configuration.nix
          {
            # What ai-vm built this VM from. configuration.nix goes before it.
            ai-vm = lib.mapAttrs (_: lib.mkDefault) (builtins.fromJSON (builtins.readFile ./vm.json));
            ai-vm-lock = lock.lockFor nixpkgs;
          }
          ./configuration.nix
        ];
      };
    in
    {
      # `nixos-rebuild` without a name asks for that of the host, which ai-vm gives the VM at launch.
      nixosConfigurations =
        lib.optionalAttrs (builtins.pathExists ./hostname) {
          ${text.firstLine (builtins.readFile ./hostname)} = vm;
        }
        // {
          inherit vm;
          default = vm;
        };
    };
}

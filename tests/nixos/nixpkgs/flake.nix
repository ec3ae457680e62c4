# A nixpkgs for the real command line of Nix to take in place of the other one: its modules are the options that it has, its
# packages are names. Beside it lies a copy of ai-vm, which has both (tests/nixos/guest.nix).
{
  outputs =
    { ... }:
    let
      lib = import ./ai-vm/tests/nixos/lib;
      guest = import ./ai-vm/tests/nixos/guest.nix { inherit lib; };
    in
    {
      inherit (guest.nixpkgs) lib;
      legacyPackages.x86_64-linux = guest.pkgs // {
        inherit lib;
        stdenv = guest.pkgs.stdenv // {
          hostPlatform.system = "x86_64-linux";
        };
      };
    };
}

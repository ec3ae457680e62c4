# The lock file of the flake in the guest: the nixpkgs that built the guest, so that a rebuild there needs no network.
#
# A locked input is taken from the store by its hash, without a download, if it is there and registered; nixosSystem sees
# to that, because it puts nixpkgs into the registry of the system, so that it belongs to the closure.
{ lib }:
{
  # `nixpkgs` is the flake input. Without a revision (a local copy) the input is locked to the path that it has here.
  lockFor =
    nixpkgs:
    let
      of = key: lib.optionalAttrs (nixpkgs ? ${key}) { ${key} = nixpkgs.${key}; };
      locked =
        of "narHash"
        // of "lastModified"
        // (
          if nixpkgs ? rev && nixpkgs ? narHash then
            {
              type = "github";
              owner = "NixOS";
              repo = "nixpkgs";
              inherit (nixpkgs) rev;
            }
          else
            {
              type = "path";
              path = builtins.unsafeDiscardStringContext (toString nixpkgs.outPath);
            }
        );
    in
    {
      version = 7;
      root = "root";
      nodes = {
        root.inputs.nixpkgs = "nixpkgs";
        nixpkgs = {
          inherit locked;
          # As guest-flake/flake.nix has it: an entry for something else is thrown away, and fetched anew.
          original = {
            type = "github";
            owner = "NixOS";
            repo = "nixpkgs";
            ref = "nixos-unstable";
          };
        };
      };
    };
}

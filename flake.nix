{
  description = "ai-vm: a fleet of named virtual machines for coding agents";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      systems = [ "x86_64-linux" ];
      forEach = build: lib.genAttrs systems (system: build nixpkgs.legacyPackages.${system});
    in
    {
      packages = forEach (pkgs: rec {
        ai-vm = pkgs.callPackage ./nixos/package.nix { };
        default = ai-vm;
      });

      devShells = forEach (pkgs: {
        default = pkgs.mkShell {
          inputsFrom = [ self.packages.${pkgs.system}.ai-vm ];
          packages = with pkgs; [
            cargo-deny
            clippy
            fish
            mmdebstrap
            openssh
            qemu
            rustfmt
            shellcheck
            strace
          ];
        };
      });

      formatter = forEach (pkgs: pkgs.nixfmt);
    };
}

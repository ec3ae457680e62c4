{
  description = "ai-vm: a fleet of named virtual machines for coding agents";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      systems = [ "x86_64-linux" ];
      forEach = build: lib.genAttrs systems (system: build nixpkgs.legacyPackages.${system});
      systemOf = pkgs: pkgs.stdenv.hostPlatform.system;
    in
    {
      packages = forEach (pkgs: rec {
        default = ai-vm;
        ai-vm = pkgs.callPackage ./nixos/wrapper.nix {
          inherit ai-vm-unwrapped;
          flake = "path:${self}";
        };
        ai-vm-unwrapped = pkgs.callPackage ./nixos/package.nix { };
        vm = self.lib.${systemOf pkgs}.makeCustomVM {
          name = "vm";
          ram = "8gb";
          cpu = "2cpu";
          storage = "50gb";
        };
      });

      apps = forEach (pkgs: rec {
        default = ai-vm;
        ai-vm = {
          type = "app";
          program = lib.getExe self.packages.${systemOf pkgs}.ai-vm;
        };
      });

      lib = lib.genAttrs systems (system: import ./nixos { inherit nixpkgs system; });

      # The guest as a module of somebody's own NixOS: `ai-vm = { … }` takes what makeCustomVM takes.
      nixosModules.default = ./nixos/guest;

      overlays.default = final: _: {
        ai-vm-unwrapped = final.callPackage ./nixos/package.nix { };
        ai-vm = final.callPackage ./nixos/wrapper.nix { flake = "path:${self}"; };
      };

      checks = forEach (pkgs: import ./nixos/checks { inherit self nixpkgs pkgs; });

      devShells = forEach (pkgs: {
        default = pkgs.mkShell {
          inputsFrom = [ self.packages.${systemOf pkgs}.ai-vm-unwrapped ];
          packages = with pkgs; [
            cargo-deny
            clippy
            fish
            mmdebstrap
            nixfmt
            openssh
            qemu
            rustfmt
            shellcheck
            strace
          ];
        };
      });

      formatter = forEach (pkgs: pkgs.nixfmt-tree);
    };
}

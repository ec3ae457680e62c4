# `rebuild`: applies /etc/nixos.
{ config, pkgs, ... }:
let
  program = import ./program.nix { inherit pkgs; };
in
{
  environment.systemPackages = [
    (program {
      name = "rebuild";
      inputs = [
        pkgs.coreutils
        pkgs.diffutils
        pkgs.git
        pkgs.nixos-rebuild-ng
        config.nix.package
      ];
    })
  ];
}

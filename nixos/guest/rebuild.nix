# `rebuild`: applies /etc/nixos, by the nixos-rebuild that the system has anyway.
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
        config.nix.package
      ];
    })
  ];
}

# Yours to change: `rebuild` applies it. What is set here goes before what ai-vm built the VM with.
# The options of NixOS: https://search.nixos.org/options
{ pkgs, ... }:
{
  environment.systemPackages = with pkgs; [
    # postgresql
  ];

  # services.postgresql.enable = true;

  # networking.firewall.allowedTCPPorts = [ 8080 ];

  # virtualisation.docker.enable = true;

  # What ai-vm offers itself (modules/lib/spec.nix has all of it):
  # ai-vm.audio = true;
  # ai-vm.nested = true;
}

# Nix in the guest.
{ lib, ... }:
{
  nix = {
    settings = {
      experimental-features = [
        "nix-command"
        "flakes"
      ];
      # Who may use sudo may as well do this.
      trusted-users = [ "@wheel" ];
      # The global registry is fetched before anything else, so without network nothing works. Empty, `nixpkgs` is what
      # this system was built from.
      flake-registry = "";
    };
    # The configuration is a flake.
    channel.enable = false;
  };

  # The manual of all options is built anew whenever one of them changes.
  documentation.nixos.enable = false;

  # Programs that agents download expect an ordinary Linux.
  programs.nix-ld.enable = lib.mkDefault true;
}

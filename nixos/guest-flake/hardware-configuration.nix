# The machine. Everything else about it, such as disks and consoles, is in modules/guest/virtualisation.nix and store.nix,
# because ai-vm and NixOS have to agree on it.
{
  nixpkgs.hostPlatform = "x86_64-linux";
}

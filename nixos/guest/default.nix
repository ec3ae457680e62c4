# The guest: one concern a file. `ai-vm` (options.nix) says what it is to be; everything else follows.
{
  imports = [
    ./options.nix
    ./virtualisation.nix
    ./store.nix
    ./nix.nix
    ./garbage.nix
    ./identity.nix
    ./users.nix
    ./networking.nix
    ./ssh.nix
    ./shares.nix
    ./packages.nix
    ./audio.nix
    ./desktop.nix
    ./nested.nix
    ./configuration.nix
    ./rebuild.nix
    ./boot-record.nix
    ./image.nix
  ];
}

# What agents work with.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  program = import ./program.nix { inherit pkgs; };
in
{
  environment.systemPackages =
    (with pkgs; [
      bat
      cargo
      curl
      fd
      file
      gcc
      gnumake
      go
      htop
      jq
      nano
      nodejs
      python3
      ripgrep
      rsync
      rustc
      tmux
      tree
      unzip
      vim
      wget
    ])
    ++ [
      pkgs.claude-code
      (program {
        name = "start-claude";
        inputs = [
          pkgs.claude-code
          pkgs.coreutils
          pkgs.getent
          pkgs.gnugrep
          pkgs.jq
          pkgs.procps
          pkgs.util-linux
        ];
        environment.AI_VM_USER = (lib.head config.ai-vm.users).name;
      })
    ];

  programs.fish.enable = true;
  programs.git.enable = true;

  # Nothing else that is not free. A list, because lists of several modules add up, and predicates do not.
  nixpkgs.config.allowUnfreePackages = [ "claude-code" ];

  # What the store has cannot be updated by the program itself.
  environment.variables.DISABLE_AUTOUPDATER = "1";
}

# Evaluates the guest's modules as nixosSystem would, against the options that nixpkgs has. Nothing is built.
{ lib }:
let
  declared = import ./options.nix { inherit lib; };
  pkgs = import ./packages.nix { inherit lib; };

  # What other parts of NixOS would say.
  surroundings = {
    _file = "surroundings";
    nix.package = pkgs.nix;
    system = {
      nixos.release = "26.11";
      nixos.version = "26.11.20260802.6438090";
      path = pkgs.fake "system-path";
      build = lib.genAttrs [
        "toplevel"
        "etc"
        "bootStage2"
        "initialRamdisk"
        "vm"
      ] pkgs.fake;
    };
  };

  # A value that can be forced and written: packages by their paths, which tell what went into them.
  scrub =
    value:
    if lib.isDerivation value then
      "<${value}>"
    else if builtins.isAttrs value then
      lib.mapAttrs (_: scrub) value
    else if builtins.isList value then
      map scrub value
    else if builtins.isFunction value then
      "<function>"
    else
      value;

  silent = [
    "options.json"
    "surroundings"
  ];
  isOurs =
    option:
    lib.head option.loc != "_module"
    && (option.isDefined or false)
    && lib.any (file: !(lib.elem file silent)) (option.files or [ ]);
in
rec {
  inherit pkgs declared;

  evaluate =
    modules:
    lib.evalModules {
      specialArgs = {
        inherit declared pkgs;
        modulesPath = ./modules;
      };
      modules = [
        declared.base
        surroundings
      ]
      ++ modules;
    };

  # What `nixpkgs.lib.nixosSystem` is to a flake.
  nixpkgs = {
    lib = lib // {
      nixosSystem = { modules }: evaluate modules;
    };
    rev = "643809054d65fdd466a63e3155b8c498cb483c04";
    narHash = "sha256-vUfIeBEfpbAfZ5zjgIkYk7eHBeVfCYVjLbWnMkseYnk=";
    lastModified = 1785692966;
    outPath = "/nix/store/00000000000000000000000000000000-source";
  };

  # Every option that somebody other than nixpkgs sets, by name, with its value, all of them forced.
  settingsOf =
    evaluated:
    lib.listToAttrs (
      map (option: {
        name = lib.concatStringsSep "." option.loc;
        value = scrub option.value;
      }) (lib.filter isOurs (lib.collect (value: value._type or null == "option") evaluated.options))
    );

  failures =
    evaluated:
    map (assertion: assertion.message) (
      lib.filter (assertion: !assertion.assertion) evaluated.config.assertions
    );
}

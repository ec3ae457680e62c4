# A stand-in for nixpkgs' `lib`: as much of it as the modules and their tests use, written for the tests alone, so that they
# are evaluated where nixpkgs is not at hand. With NIXPKGS_LIB the same tests run with the real one, and both have to agree.
let
  self =
    import ./basics.nix
    // import ./properties.nix
    // import ./modules.nix { lib = self; }
    // {
      types = import ./types.nix { lib = self; };
    };
in
self

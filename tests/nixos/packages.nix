# nixpkgs' packages as far as the guest names them: a name that is not in this list, and was misspelt or has gone, fails.
# They are derivations, so that strings with them have the context that real ones would have; nothing is ever built.
{ lib }:
let
  fake =
    name:
    derivation {
      inherit name;
      system = "x86_64-linux";
      builder = "/bin/sh";
    }
    // {
      pname = name;
      version = "0";
      meta.mainProgram = name;
      inputDerivation = fake "${name}-inputs";
    };
  # What a builder was given is there for tests to look at, and another thing given makes another path.
  built =
    name: given:
    fake name
    // derivation {
      inherit name;
      system = "x86_64-linux";
      builder = "/bin/sh";
      given = builtins.toJSON given;
    }
    // {
      inherit given;
    };

  names = [
    "bat"
    "cargo"
    "claude-code"
    "coreutils"
    "curl"
    "diffutils"
    "erofs-utils"
    "fd"
    "file"
    "findutils"
    "firefox"
    "gcc"
    "getent"
    "git"
    "gnugrep"
    "gnumake"
    "gnutar"
    "go"
    "htop"
    "jq"
    "nano"
    "nix"
    "nodejs"
    "openssh"
    "procps"
    "python3"
    "qemu_kvm"
    "ripgrep"
    "rsync"
    "rustc"
    "shadow"
    "stdenv"
    "stdenvNoCC"
    "tmux"
    "tree"
    "unzip"
    "util-linux"
    "vim"
    "wget"
  ];
in
lib.genAttrs names fake
// {
  inherit fake;
  path = ./.;
  writeShellApplication = given: built given.name given;
  runCommand =
    name: given: text:
    built name (given // { inherit text; });
  closureInfo = given: built "closure-info" given;
  formats.json = _: {
    generate = name: value: built name { inherit value; };
  };
}

# The command line with its completions and manual pages. Its tests need QEMU, an SSH server and a home, so `script/test` runs them.
{
  lib,
  rustPlatform,
  installShellFiles,
}:
let
  manifest = (lib.importTOML ../Cargo.toml).package;
in
rustPlatform.buildRustPackage {
  pname = manifest.name;
  inherit (manifest) version;

  src = lib.fileset.toSource {
    root = ../.;
    fileset = lib.fileset.unions [
      ../Cargo.toml
      ../Cargo.lock
      ../build.rs
      # What these say to type is a test of the library.
      ../README.md
      ../SECURITY.md
      ../docs
      ../benches
      ../completions
      ../flake.lock
      ../flake.nix
      ../nixos
      ../src
      ../tests
    ];
  };
  cargoLock.lockFile = ../Cargo.lock;
  cargoTestFlags = [ "--lib" ];

  nativeBuildInputs = [ installShellFiles ];

  postInstall = ''
    mkdir man
    "$out/bin/ai-vm" generate man man
    installManPage man/*.1
    installShellCompletion --cmd ai-vm --bash completions/ai-vm.bash --zsh completions/_ai-vm --fish completions/ai-vm.fish
  '';

  meta = {
    inherit (manifest) description;
    license = lib.licenses.mit;
    mainProgram = "ai-vm";
    platforms = [ "x86_64-linux" ];
  };
}

# The command line with its completions. Its tests need QEMU, an SSH server and a home, so `script/test` runs them.
{
  lib,
  rustPlatform,
  installShellFiles,
  makeWrapper,
  qemu,
  curl,
  mmdebstrap,
  e2fsprogs,
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
      ../benches
      ../completions
      ../src
      ../tests
    ];
  };
  cargoLock.lockFile = ../Cargo.lock;
  cargoTestFlags = [ "--lib" ];

  nativeBuildInputs = [
    installShellFiles
    makeWrapper
  ];

  # After what the user has: a machine's own QEMU goes first.
  postInstall = ''
    installShellCompletion --cmd ai-vm --bash completions/ai-vm.bash --zsh completions/_ai-vm --fish completions/ai-vm.fish
    wrapProgram $out/bin/ai-vm --suffix PATH : ${
      lib.makeBinPath [
        qemu
        curl
        mmdebstrap
        e2fsprogs
      ]
    }
  '';

  meta = {
    inherit (manifest) description;
    license = lib.licenses.mit;
    mainProgram = "ai-vm";
    platforms = [ "x86_64-linux" ];
  };
}

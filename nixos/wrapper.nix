# The program as it is installed from the flake: with the tools that it runs, and knowing the flake that it came from, so
# that `nix run FLAKE -- up web` builds guests from FLAKE. Apart from the build, which does not depend on where it lies.
{
  lib,
  symlinkJoin,
  makeWrapper,
  ai-vm-unwrapped,
  qemu,
  curl,
  mmdebstrap,
  e2fsprogs,
  # A flake reference, or null where there is none.
  flake ? null,
}:
symlinkJoin {
  name = "ai-vm-${ai-vm-unwrapped.version}";
  paths = [ ai-vm-unwrapped ];
  nativeBuildInputs = [ makeWrapper ];
  # After what the user has: a machine's own QEMU and Nix go first.
  postBuild = ''
    wrapProgram "$out/bin/ai-vm" \
      --suffix PATH : ${
        lib.makeBinPath [
          qemu
          curl
          mmdebstrap
          e2fsprogs
        ]
      } ${lib.optionalString (flake != null) "--set-default AI_VM_OWN_FLAKE ${lib.escapeShellArg flake}"}
  '';
  inherit (ai-vm-unwrapped) meta;
}

# The result of a build: qemu-vm.nix's run script, which works by itself, and beside it the manifest from which ai-vm
# launches with a command line of its own.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  vm = config.ai-vm;
  inherit (import ../lib { inherit lib; }) manifest;
  inherit (config.system.build) toplevel;
  storeImage = config.system.build.ai-vm-store-image;
  json = pkgs.formats.json { };

  content = manifest.manifest {
    spec = vm;
    kernel = "${toplevel}/kernel";
    initrd = "${toplevel}/initrd";
    toplevel = "${toplevel}";
    storeImage = if vm.store == "image" then "${storeImage}" else null;
    nixosVersion = config.system.nixos.version;
    inherit (config.system) stateVersion;
    cmdline = manifest.commandLine {
      inherit (config.boot) kernelParams;
      inherit (config.virtualisation.qemu) consoles;
      toplevel = "${toplevel}";
      registration = "${config.system.build.ai-vm-registration}/registration";
    };
  };
in
{
  # The list that the run script passes on, made in the same way from the same, so that it is the same.
  system.build.ai-vm-registration = pkgs.closureInfo {
    rootPaths = config.virtualisation.additionalPaths;
  };

  system.build.ai-vm =
    pkgs.runCommand "ai-vm-${vm.name}"
      {
        inherit (config.system.build) vm;
        manifest = json.generate "manifest.json" content;
        meta.mainProgram = "run-${vm.name}-vm";
      }
      ''
        mkdir "$out"
        ln -s "$vm/bin" "$vm/system" "$out"
        cp "$manifest" "$out/manifest.json"
      '';
}

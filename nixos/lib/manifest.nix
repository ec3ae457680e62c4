# What ai-vm has to know of a build to launch it with a command line of its own: manifest.json beside the run script.
{ lib }:
let
  inherit (import ./spec.nix { inherit lib; }) resolutionText;
in
{
  # The whole kernel command line. `init` is what NixOS boots, `regInfo` the list that qemu-vm.nix's
  # register-nix-paths.service loads into the guest's database; the console named last is the one with the log.
  commandLine =
    {
      kernelParams,
      toplevel,
      registration,
      consoles,
    }:
    lib.concatStringsSep " " (
      kernelParams
      ++ [
        "init=${toplevel}/init"
        "regInfo=${registration}"
      ]
      ++ map (console: "console=${console}") consoles
    );

  # Paths are strings with context: what they name belongs to the closure of the file that they are written to.
  manifest =
    {
      spec,
      kernel,
      initrd,
      cmdline,
      toplevel,
      storeImage ? null,
      nixosVersion,
      stateVersion,
    }:
    {
      schema = 1;
      family = "nixos";
      inherit
        kernel
        initrd
        cmdline
        toplevel
        nixosVersion
        stateVersion
        ;
      store =
        if storeImage == null then
          { kind = "host"; }
        else
          {
            kind = "image";
            path = storeImage;
            format = "raw";
          };
      disk = {
        kind = "blank";
        label = "nixos";
      };
      features = {
        inherit (spec) overlay audio desktop;
        resolution = resolutionText spec.resolution;
      };
    };
}

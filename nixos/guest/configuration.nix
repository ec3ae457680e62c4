# /etc/nixos in the guest: the flake that this guest was built from, for its user to change.
#
# It is made once, at the first boot, and never touched again. It has the same modules and the same data as the build on
# the host, so that a rebuild without a change results in the same system.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  vm = config.ai-vm;
  inherit (import ../lib { inherit lib; }) lock spec;
  program = import ./program.nix { inherit pkgs; };
  json = pkgs.formats.json { };
  unit = "ai-vm-configuration";

  # Only what a guest is made of: the modules are content, the same here as in the guest, where they are /etc/nixos/modules.
  modules = builtins.path {
    path = ../.;
    name = "ai-vm-modules";
    filter =
      path: _:
      let
        below = lib.removePrefix "${toString ../.}/" path;
      in
      lib.elem (lib.head (lib.splitString "/" below)) [
        "guest"
        "guest-flake"
        "lib"
        "scripts"
      ];
  };

  # The release of the image is that of the VM's creation, for the life of the VM.
  data = spec.describe (vm // { stateVersion = config.system.stateVersion; });

  template =
    pkgs.runCommand "ai-vm-configuration"
      {
        inherit modules;
        parts = ../guest-flake;
        data = json.generate "vm.json" data;
        lock = json.generate "flake.lock" config.ai-vm-lock;
      }
      ''
        mkdir "$out"
        cp "$parts/flake.nix" "$parts/configuration.nix" "$parts/hardware-configuration.nix" "$parts/README.md" "$out"
        cp -r "$modules" "$out/modules"
        cp "$data" "$out/vm.json"
        cp "$lock" "$out/flake.lock"
      '';
in
{
  options.ai-vm-lock = lib.mkOption {
    type = lib.types.raw;
    # Not in anybody's manual, which would have to evaluate the default.
    internal = true;
    default = lock.lockFor { outPath = pkgs.path; };
    description = "The lock file of the flake in the guest, as data. Set by what knows the flake of nixpkgs.";
  };

  config = {
    system.build.ai-vm-configuration = template;

    systemd.services.${unit} = {
      description = "Create the configuration in /etc/nixos";
      wantedBy = [ "multi-user.target" ];
      after = [ "local-fs.target" ];
      unitConfig.ConditionPathExists = "!/etc/nixos/flake.nix";
      # A rebuilt system has a newer template, which is not to be applied.
      restartIfChanged = false;
      serviceConfig.Type = "oneshot";
      serviceConfig.ExecStart = "${
        program {
          name = unit;
          script = "setup-configuration";
          inputs = [
            pkgs.coreutils
            pkgs.findutils
            pkgs.git
          ];
        }
      }/bin/${unit} ${template} /etc/nixos ${if vm.git then "git" else "plain"}";
    };

    # Whoever looks at the repository without being root is not to be told that it is somebody else's.
    programs.git.config.safe.directory = "/etc/nixos";
  };
}

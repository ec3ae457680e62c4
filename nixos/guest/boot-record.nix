# A rebuilt system survives a restart of the VM: NixOS calls this hook with every system that is to be booted from now on,
# and it records kernel, initial RAM disk and command line on a small disk, from which the host launches.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  program = import ./program.nix { inherit pkgs; };
  name = "ai-vm-record-boot";
in
{
  boot.loader.grub.enable = false;
  boot.loader.external = {
    enable = true;
    installHook = "${
      program {
        inherit name;
        script = "record-boot";
        inputs = [
          pkgs.coreutils
          pkgs.gnutar
          pkgs.jq
          pkgs.util-linux
        ];
        environment = {
          AI_VM_KERNEL_PARAMS = lib.concatMapStringsSep " " (
            console: "console=${console}"
          ) config.virtualisation.qemu.consoles;
          AI_VM_OVERLAY = lib.optionalString config.ai-vm.overlay "1";
        };
      }
    }/bin/${name}";
  };
}

# The machine, as nixpkgs' qemu-vm.nix makes it: one root disk, started directly by QEMU, no boot loader.
#
# The guest evaluates this same file when it is rebuilt inside. Memory, processors and disk do not enter the system that
# results, so that ai-vm can choose them at launch; they are what `run-NAME-vm` starts with.
{
  config,
  lib,
  modulesPath,
  ...
}:
let
  vm = config.ai-vm;
in
{
  imports = [ (modulesPath + "/virtualisation/qemu-vm.nix") ];

  virtualisation = {
    memorySize = vm.ram;
    cores = vm.cpu;
    diskSize = vm.storage * 1024;
    graphics = vm.desktop;

    # qemu-vm.nix mounts /tmp/shared and /tmp/xchg from the host, writable and required for boot. ai-vm offers neither, and
    # nothing of the host is shared unasked. Its share of the store goes too, because it cannot be made read-only (store.nix).
    sharedDirectories = lib.mkForce { };

    # The disk may have been made larger since the file system was.
    fileSystems."/".autoResize = true;

    # Both consoles get the kernel's messages. The last one is /dev/console, whose output ai-vm keeps.
    qemu.consoles = [
      "tty0"
      "ttyS0,115200n8"
    ];

    # ai-vm asks QEMU itself and talks to the guest over SSH.
    qemu.guestAgent.enable = false;
  };

  # Scripted stage 1 is on its way out of nixpkgs, and has no credentials.
  boot.initrd.systemd.enable = true;

  # A kernel that panics boots again, instead of standing still until somebody looks.
  boot.kernelParams = [ "panic=1" ];

  system.stateVersion =
    if vm.stateVersion == null then config.system.nixos.release else vm.stateVersion;
}

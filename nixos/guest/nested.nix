# Virtual machines in the VM. They need the host to pass its processor on (QEMU's `-cpu host` or `max` under KVM, and
# `nested=1` of the host's kvm module), which costs nothing here when it does not.
{
  config,
  lib,
  pkgs,
  ...
}:
{
  # Each fails quietly on the other's processor, and on one without virtualisation.
  boot.kernelModules = [
    "kvm-intel"
    "kvm-amd"
  ];

  environment.systemPackages = lib.mkIf config.ai-vm.nested [ pkgs.qemu_kvm ];
}

# KDE Plasma, logged in by itself, as the consoles are.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  vm = config.ai-vm;
  inherit (import ../lib { inherit lib; }) spec;
  resolution = spec.resolutionText vm.resolution;
in
lib.mkIf vm.desktop {
  services.desktopManager.plasma6.enable = true;
  services.displayManager = {
    sddm.enable = true;
    sddm.wayland.enable = true;
    autoLogin.enable = true;
    autoLogin.user = (lib.head vm.users).name;
  };

  environment.systemPackages = [ pkgs.firefox ];

  # The card tells the guest what its screen prefers; the kernel's console follows its own parameter.
  boot.kernelParams = lib.mkIf (resolution != null) [ "video=${resolution}" ];
  virtualisation.resolution = lib.mkIf (resolution != null) vm.resolution;
  virtualisation.qemu.options = [
    (
      "-device virtio-vga"
      + lib.optionalString (
        resolution != null
      ) ",xres=${toString vm.resolution.x},yres=${toString vm.resolution.y}"
    )
  ];
}

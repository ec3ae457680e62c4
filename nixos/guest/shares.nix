# Folders of the host that are shared at build, for `run-NAME-vm`. Those that ai-vm shares at launch need nothing here:
# they come as the credential fstab.extra, which systemd reads at every boot.
{ config, lib, ... }:
let
  inherit (import ../lib { inherit lib; }) share text;
  shares = share.sharesOf config.ai-vm;

  # 0.5 MiB is where larger packets stop to make a difference. A share that fails must not keep the VM from booting.
  mountOptions = mode: [
    "trans=virtio"
    "version=9p2000.L"
    "msize=524288"
    "nofail"
    mode
  ];
in
{
  virtualisation.fileSystems = lib.listToAttrs (
    map (folder: {
      name = folder.target;
      value = {
        device = folder.tag;
        fsType = "9p";
        options = mountOptions folder.mode;
      };
    }) shares
  );

  # Read-only is what QEMU enforces: root in the guest can mount as it likes. With the model `none`, files are the host user's
  # own, with their real permissions and links, and what the guest cannot have (other owners) is left away without an error.
  # A QEMU that root has started could give it: then owners and modes are only noted down, lest root in the guest makes
  # programs on the host that run as root. The path is a text to QEMU and to the shell, whatever it holds.
  virtualisation.qemu.options = map (
    folder:
    "-virtfs "
    + lib.escapeShellArg "local,path=${text.qemuValue folder.path},mount_tag=${folder.tag},multidevs=remap"
    + (
      if folder.mode == "ro" then
        ",security_model=none,readonly=on"
      else
        '',security_model="$([ "$(id -u)" = 0 ] && echo mapped-xattr || echo none)"''
    )
  ) shares;

  # Shares of the launch are mounted in stage 2, where nothing else asks for it.
  boot.kernelModules = [ "9pnet_virtio" ];
}

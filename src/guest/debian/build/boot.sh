#!/bin/sh
# Takes what QEMU boots out of the tree: the kernel, and an initial RAM disk made from the guest's own kernel modules
# and busybox. Usage: boot.sh ROOT VMLINUX INITRD
set -eu
root=$1
vmlinux=$2
initrd=$3
version=$(ls "$root/usr/lib/modules")

# The kernel without its compression, which would be undone at every boot: QEMU starts the plain ELF file (PVH).
chroot "$root" python3 - "/boot/vmlinuz-$version" >"$vmlinux" <<'PYTHON'
import subprocess, sys
image = open(sys.argv[1], "rb").read()
for magic, tool in ((b"\x28\xb5\x2f\xfd", "zstd"), (b"\xfd7zXZ\0", "xz")):
    at = image.find(magic)
    while at >= 0:
        # What follows the compressed kernel makes the tool complain, after it has done its work.
        plain = subprocess.run([tool, "-dc"], input=image[at:], capture_output=True).stdout
        if plain.startswith(b"\x7fELF"):
            sys.stdout.buffer.write(plain)
            sys.exit()
        at = image.find(magic, at + 1)
sys.exit("no ELF kernel in " + sys.argv[1])
PYTHON

work=$root/tmp/initrd
mkdir -p "$work/bin" "$work/modules" "$work/dev" "$work/proc" "$work/root"
cp "$root/usr/bin/busybox" "$work/bin/busybox"
cp "$root/tmp/recipe/initrd-init" "$work/init"
chmod 0755 "$work/init" "$work/bin/busybox"
# What the root disk and the network card need, in the order of their dependencies, each once.
for module in virtio_pci virtio_blk ext4 virtio_net; do
  chroot "$root" modprobe --show-depends --set-version "$version" "$module"
done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | while read -r path; do
  name=${path##*/}
  plain=${name%.xz}
  [ ! -e "$work/modules/$plain" ] || continue
  case $name in
    *.xz) chroot "$root" xz -dc "$path" >"$work/modules/$plain" ;;
    *) cp "$root/$path" "$work/modules/$plain" ;;
  esac
  printf '%s\n' "$plain" >>"$work/modules/order"
done
chroot "$root" sh -c 'cd /tmp/initrd && find . | LC_ALL=C sort | busybox cpio -o -H newc' >"$initrd"
rm -rf "$work"
# They are outside now, and never read from the disk.
rm -f "$root"/boot/vmlinuz-* "$root"/boot/initrd.img-*

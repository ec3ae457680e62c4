#!/usr/bin/env bash
# Makes what publishers call a cloud image: Debian with a boot loader and cloud-init on a partitioned disk, knowing
# nobody. Usage: brought_image.sh DISK.qcow2
# Runs as root or, where user namespaces and subordinate ids allow it, as anybody.
set -euo pipefail
umask 022
out=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
PATH=$PATH:/usr/sbin:/sbin
export TMPDIR=${TMPDIR:-/var/tmp}

# mmdebstrap's tree belongs to a user namespace that may not enter private directories; it inherits descriptor 3.
truncate -s 2G "$work/disk"
: >"$work/core"
: >"$work/boot"
cat >"$work/hook" <<'HOOK'
set -eu
root=$1
cat >"$root/boot/grub.cfg" <<'GRUB'
linux /vmlinuz root=/dev/vda1 ro console=ttyS0
initrd /initrd.img
boot
GRUB
chroot "$root" grub-mkimage -O i386-pc -p '(hd0,msdos1)/boot' -c /boot/grub.cfg -o /tmp/core \
  biosdisk part_msdos ext2 linux
cat "$root/tmp/core" >/proc/self/fd/3/core
# The start of the list of sectors and the drive are already what they have to be for a core behind the first sector.
head -c 440 "$root/usr/lib/grub/i386-pc/boot.img" >/proc/self/fd/3/boot
echo '/dev/vda1 / ext4 defaults 0 1' >"$root/etc/fstab"
rm -f "$root"/etc/ssh/ssh_host_* "$root/tmp/core" "$root/etc/hostname" "$root/etc/resolv.conf"
ln -s /run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"
: >"$root/etc/machine-id"
unshare --mount sh -euc '
  while at=$(sed -n "s|^[^ ]* \($1/[^ ]*\) .*|\1|p" /proc/self/mounts | sort | head -n1) && [ -n "$at" ]; do
    umount -l "$at"
  done
  mke2fs -q -F -t ext4 -E offset=1048576 -d "$1" /proc/self/fd/3/disk 2096128k
' sh "$root"
HOOK
chmod 0666 "$work/disk" "$work/core" "$work/boot"
chmod 0644 "$work/hook"
chmod 0711 "$work"
exec 3<"$work"

# shellcheck disable=SC2016 # apt-get fills the fields in
mirror=$(apt-get indextargets --format '$(ORIGIN) $(CODENAME) $(REPO_URI)' 2>/dev/null |
  awk '$1 == "Debian" && $2 !~ /-/ { print $3; exit }' || true)
mode=(mmdebstrap --mode=unshare)
# Root's mounts end with the build, however it ends.
((EUID != 0)) || mode=(unshare --mount mmdebstrap --mode=root)
packages=linux-image-amd64,initramfs-tools,grub-pc-bin,systemd-sysv,udev,dbus,netplan.io,systemd-resolved
packages=$packages,openssh-server,sudo,cloud-init,cloud-guest-utils,e2fsprogs,iproute2
# The kernel that has 9p has hundreds of drivers besides, which an initial RAM disk would hold and look through.
cat >"$work/small" <<'HOOK'
mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/usr/share/initramfs-tools/modules.d"
echo MODULES=list >"$1/etc/initramfs-tools/conf.d/small"
printf '%s\n' virtio_pci virtio_blk ext4 >"$1/usr/share/initramfs-tools/modules.d/small"
HOOK
chmod 0644 "$work/small"
# shellcheck disable=SC2016 # $1 is the tree, for the hooks' own shells
"${mode[@]}" --quiet --variant=apt --format=null --include="$packages" \
  --aptopt='Acquire::Languages "none"' --aptopt='APT::Install-Recommends "false"' --dpkgopt=force-unsafe-io \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
  --essential-hook='sh /proc/self/fd/3/small "$1"' --customize-hook='sh /proc/self/fd/3/hook "$1"' trixie /dev/null ${mirror:+"$mirror"}

printf 'start=2048, type=83, bootable\n' | sfdisk --quiet --wipe=never "$work/disk"
dd if="$work/boot" of="$work/disk" bs=440 count=1 conv=notrunc status=none
dd if="$work/core" of="$work/disk" bs=512 seek=1 conv=notrunc status=none
qemu-img convert -f raw -O qcow2 "$work/disk" "$out"

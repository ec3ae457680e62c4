#!/bin/sh
# Turns a tree of Debian packages into the guest: runs as root of the tree's user namespace.
# Usage: customize.sh ROOT
set -eu
root=$1
recipe=$root/tmp/recipe

cp -R "$recipe/rootfs/." "$root/"
chmod -R u=rwX,go=rX "$root/usr/local/lib/ai-vm" "$root/etc/systemd/system" "$root/etc/systemd/network"
chmod 0755 "$root"/usr/local/lib/ai-vm/* "$root/usr/local/bin" "$root/usr/local/bin/rebuild" "$root/usr/local/bin/start-claude"
# Whoever may use sudo may write here without it, so that `ai-vm cp` can.
mkdir -p "$root/etc/ai-vm/setup.d"
chroot "$root" chown -R root:sudo /etc/ai-vm
chmod 2775 "$root/etc/ai-vm" "$root/etc/ai-vm/setup.d"
chmod 0664 "$root/etc/ai-vm/packages"
chmod 0644 "$root/etc/ssh/sshd_config.d/10-ai-vm.conf" "$root/etc/profile.d/ai-vm.sh"
chmod 0755 "$root/etc" "$root/etc/ssh" "$root/etc/ssh/sshd_config.d" "$root/etc/profile.d" "$root/etc/systemd" \
  "$root/etc/systemd/journald.conf.d" "$root/usr" "$root/usr/local" "$root/usr/local/lib"
chmod 0644 "$root/etc/systemd/journald.conf.d/ai-vm.conf"
chmod 0440 "$root/etc/sudoers.d/ai-vm"
printf 'nameserver 10.0.2.3\n' >"$root/etc/resolv.conf"
printf '/dev/vda / ext4 defaults,noatime,noinit_itable 0 0\n' >"$root/etc/fstab"
printf 'LANG=C.UTF-8\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nDISABLE_AUTOUPDATER=1\n' \
  >"$root/etc/environment"
: >"$root/etc/motd"
printf 'update_initramfs=no\n' >"$root/etc/initramfs-tools/update-initramfs.conf"
rm -f "$root"/etc/ssh/ssh_host_* "$root/etc/machine-id" "$root/var/lib/dbus/machine-id" \
  "$root/etc/hostname" "$root"/etc/update-motd.d/*
# Empty, not "uninitialized": the id comes from the host, and nothing is to be preset at the first boot.
: >"$root/etc/machine-id"

# PAM asks systemd for a session at every login, which costs more than the rest of the login together.
sed -i '/pam_systemd/d' "$root/etc/pam.d/common-session"
sed -i '/pam_nologin\|pam_motd\|pam_mail\|pam_lastlog/d' "$root/etc/pam.d/sshd"

# Programs that systemd runs at every boot to look for disks, devices and settings that this guest never has.
mkdir -p "$root/etc/systemd/system-generators"
for generator in "$root"/usr/lib/systemd/system-generators/*; do
  case ${generator##*/} in
    systemd-fstab-generator | systemd-sysv-generator) ;;
    *) ln -sf /dev/null "$root/etc/systemd/system-generators/${generator##*/}" ;;
  esac
done
mkdir -p "$root/etc/systemd/system/getty.target.wants"
ln -sf /usr/lib/systemd/system/serial-getty@.service \
  "$root/etc/systemd/system/getty.target.wants/serial-getty@ttyS0.service"
printf 'blacklist %s\n' pcspkr i2c_i801 lpc_ich iTCO_wdt vmw_vmci cfg80211 >"$root/etc/modprobe.d/ai-vm.conf"

unit() { chroot "$root" systemctl --quiet "$@"; }
unit disable e2scrub_reap.service remote-fs.target
unit enable ai-vm-identity.service ai-vm-grow.service ssh.service systemd-networkd.service fstrim.timer
unit set-default multi-user.target
# Everything that a guest without screen, keyboard and hardware has no use for.
unit mask ssh.socket apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
  man-db.timer systemd-networkd-wait-online.service getty@tty1.service console-getty.service \
  systemd-pstore.service systemd-hwdb-update.service ldconfig.service systemd-binfmt.service \
  systemd-journal-catalog-update.service systemd-update-done.service systemd-firstboot.service \
  systemd-machine-id-commit.service systemd-boot-random-seed.service systemd-random-seed.service \
  sys-kernel-debug.mount sys-kernel-tracing.mount dev-hugepages.mount dev-mqueue.mount \
  sys-fs-fuse-connections.mount modprobe@.service systemd-modules-load.service \
  proc-sys-fs-binfmt_misc.automount systemd-rfkill.socket systemd-ask-password-console.path \
  systemd-ask-password-wall.path systemd-hibernate-clear.service systemd-tpm2-setup.service \
  systemd-tpm2-setup-early.service systemd-pcrphase.service systemd-pcrphase-sysinit.service \
  systemd-networkd-persistent-storage.service systemd-remount-fs.service sshd-keygen.service \
  kmod-static-nodes.service systemd-network-generator.service systemd-udev-load-credentials.service tmp.mount \
  run-lock.mount systemd-sysusers.service
# The one that shared folders need before they are mounted. A copy, because a link would be masked like what it leads to.
cp "$root/usr/lib/systemd/system/modprobe@.service" "$root/etc/systemd/system/modprobe@9pnet_virtio.service"

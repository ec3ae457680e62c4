#!/bin/sh
# Makes the guest one that shows a desktop. Runs as root of the tree's user namespace, after the customize.sh that every guest
# has. Usage: customize.sh ROOT
set -eu
root=$1
files=$root/tmp/recipe/desktop/rootfs

# With the modes that they are to have, whatever umask the recipe was written with.
(cd "$files" && find . -type d) | while read -r dir; do install -d -m 0755 "$root/$dir"; done
(cd "$files" && find . -type f) | while read -r file; do install -m 0644 "$files/$file" "$root/$file"; done
chmod 0755 "$root/etc/systemd/system-generators/ai-vm-desktop" "$root/usr/local/lib/ai-vm/desktop"
chroot "$root" systemctl --quiet set-default graphical.target

#!/bin/sh
# Writes the tree into a file system in a file. Usage: disk.sh ROOT FILE
# Without the mounts that mmdebstrap keeps in the tree: their content is the host's.
set -eu
# shellcheck disable=SC2016 # for the inner shell
unshare --mount sh -euc '
  root=$1
  disk=$2
  # From the top: what hangs below a mount goes with it, and may be locked to it.
  while at=$(sed -n "s|^[^ ]* \($root/[^ ]*\) .*|\1|p" /proc/self/mounts | sort | head -n1) && [ -n "$at" ]; do
    umount -l "$at"
  done
  # Not deleted: mmdebstrap still needs what it keeps there.
  for dir in tmp var/cache/apt var/lib/apt/lists; do
    mode=$(stat -c %a "$root/$dir")
    mount -t tmpfs -o "mode=$mode" tmpfs "$root/$dir"
  done
  exec mke2fs -q -F -t ext4 -L ai-vm-root -m 1 -E lazy_itable_init=0,nodiscard -d "$root" "$disk"
' sh "$1" "$2"

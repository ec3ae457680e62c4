#!/bin/sh
# Writes the tree into a file system in a file. Usage: disk.sh ROOT FILE
# Without the mounts that mmdebstrap keeps in the tree: their content is the host's.
set -eu
# shellcheck disable=SC2016 # for the inner shell
unshare --mount sh -euc '
  root=$1
  disk=$2
  sed -n "s|^[^ ]* \($root/[^ ]*\) .*|\1|p" /proc/self/mounts | sort -r | while read -r at; do umount -l "$at"; done
  rm -rf "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/tmp/* \
    "$root"/var/log/*.log "$root"/var/log/apt
  exec mke2fs -q -F -t ext4 -L ai-vm-root -m 1 -E lazy_itable_init=0,nodiscard -d "$root" "$disk"
' sh "$1" "$2"

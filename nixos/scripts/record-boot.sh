#!/usr/bin/env bash
# Records what this VM is to boot next: record-boot TOPLEVEL. NixOS calls it where it would install a boot loader.
#
# There is none: QEMU starts the kernel directly, and the host cannot read the guest's disk without trusting it. So the
# kernel, the initial RAM disk and the command line go to a small disk that the host made for this, as a tar archive
# (POSIX ustar) from its first byte, with boot.json at its head. The host takes it only if all of it is there and the sums
# are right, so that a write that was cut off counts as none.
set -euo pipefail
toplevel=$(readlink -f "$1")
device=${AI_VM_BOOT_DEVICE:-/dev/disk/by-id/virtio-ai-vm-boot}
# What is not in the system itself: its consoles.
extra=${AI_VM_KERNEL_PARAMS-}

say() { printf 'ai-vm: %s\n' "$*" >&2; }

if [[ -n ${AI_VM_OVERLAY-} ]]; then
  say "this VM keeps what is built in memory (overlay), so the new system will not survive a restart of the VM"
  exit 0
fi
if [[ ! -e $device ]]; then
  say "this VM has no disk to record what it boots, so the new system will not survive a restart of the VM"
  exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
size_of() { stat --dereference --format=%s "$1"; }
sum_of() { sha256sum <"$1" | cut -d' ' -f1; }

kernel=$(size_of "$toplevel/kernel")
initrd=$(size_of "$toplevel/initrd")
# Each member has a header and fills whole blocks of 512 bytes; 64 KiB are more than boot.json and the end need.
needed=$((kernel + initrd + 65536))
if [[ -b $device ]]; then room=$(blockdev --getsize64 "$device"); else room=$(size_of "$device"); fi
if ((needed > room)); then
  say "kernel and initial RAM disk take $needed bytes, and the disk to record them has $room:"
  say "a restart of the VM boots what was recorded before"
  exit 0
fi

# Without regInfo=: the paths of the host are in the guest's database since its first boot, and the list may be gone from
# the host's store when the host has a newer build.
cmdline="$(<"$toplevel/kernel-params") init=$toplevel/init${extra:+ $extra}"
jq --null-input --compact-output \
  --arg toplevel "$toplevel" --arg cmdline "$cmdline" \
  --argjson kernel "$kernel" --arg kernel_sum "$(sum_of "$toplevel/kernel")" \
  --argjson initrd "$initrd" --arg initrd_sum "$(sum_of "$toplevel/initrd")" \
  '{
    schema: 1,
    toplevel: $toplevel,
    cmdline: $cmdline,
    kernel: { bytes: $kernel, sha256: $kernel_sum },
    initrd: { bytes: $initrd, sha256: $initrd_sum }
  }' >"$work/boot.json"

# The system must be on the disk before it is what boots.
sync
tar --create --format=ustar --dereference --owner=0 --group=0 --numeric-owner --mode=0444 --mtime=@0 --sort=none \
  --directory "$work" boot.json --directory "$toplevel" kernel initrd |
  dd of="$device" bs=1M iflag=fullblock conv=notrunc,fsync status=none
say "recorded $toplevel as what this VM boots"

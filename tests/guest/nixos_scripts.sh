#!/usr/bin/env bash
# The scripts of NixOS guests in a real guest, as root, on its own /etc, a real overlay and a nixos-rebuild that stands in.
# Usage: nixos_scripts.sh NIXOS, the folder `nixos` of the repository
set -euo pipefail
nixos=$1
scripts=$nixos/scripts
work=$(mktemp -d)
fail() {
  printf 'FAILED: %s\n' "$*" >&2
  exit 1
}

# First boot: /etc/nixos appears whole, and never again.
bash "$scripts/setup-configuration.sh" "$nixos/guest-flake" /etc/nixos git
[[ -f /etc/nixos/flake.nix && $(</etc/nixos/hostname) == "$(hostname)" ]] || fail "/etc/nixos is not what it should be"
[[ $(git -C /etc/nixos log --oneline | wc -l) == 1 ]] || fail "there is no first commit"
echo '# mine' >>/etc/nixos/configuration.nix
bash "$scripts/setup-configuration.sh" "$nixos/guest-flake" /etc/nixos git
grep -qx '# mine' /etc/nixos/configuration.nix || fail "what the user wrote is gone"

# A rebuild: says what it did, commits, and has the exit code of nixos-rebuild.
mkdir -p "$work/bin" "$work/one" "$work/two"
for system in one two; do
  for part in kernel initrd kernel-modules kernel-params; do echo "$system" >"$work/$system/$part"; done
  ln -s "$work/one" "$work/current-$system"
done
cat >"$work/bin/nixos-rebuild" <<END
#!/bin/sh
[ "\$*" = "switch --flake path:/etc/nixos#vm" ] || exit 9
[ ! -e "$work/broken" ] || exit 3
ln -sfn "$work/two" "$work/current-one"
END
printf '#!/bin/sh\necho "jq: 1.7 -> 1.8"\n' >"$work/bin/nix"
chmod +x "$work"/bin/*
rebuild() {
  PATH=$work/bin:$PATH AI_VM_CURRENT_SYSTEM=$work/current-one AI_VM_BOOTED_SYSTEM=$work/current-two \
    AI_VM_PROFILE=$work/current-one bash "$scripts/rebuild.sh" 2>&1
}
said=$(rebuild) || fail "rebuild ended with $?: $said"
for words in 'jq: 1.7 -> 1.8' 'a restart is needed for: kernel' 'is at commit'; do
  [[ $said == *"$words"* ]] || fail "rebuild did not say '$words': $said"
done
[[ $(git -C /etc/nixos log --oneline | wc -l) == 2 ]] || fail "a rebuild does not commit"
touch "$work/broken"
code=0
said=$(rebuild) || code=$?
[[ $code == 3 ]] || fail "rebuild ended with $code instead of 3: $said"

# The overlay: what was deleted of the host's store comes back, what was built stays.
mkdir -p "$work"/{lower/hosts,upper,inner,merged}
overlay() { mount -t overlay -o "lowerdir=$work/lower,upperdir=$work/upper,workdir=$work/inner" overlay "$work/merged"; }
overlay
rm -r "$work/merged/hosts"
mkdir "$work/merged/built"
umount "$work/merged"
[[ -c $work/upper/hosts ]] || fail "this kernel's overlay leaves no whiteouts"
bash "$scripts/clean-overlay.sh" "$work/upper" | grep -q '1 paths'
overlay
[[ -d $work/merged/hosts && -d $work/merged/built ]] || fail "the store is not what it should be"
umount "$work/merged"

rm -rf "$work" /etc/nixos
echo "all is well"

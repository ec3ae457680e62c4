#!/usr/bin/env bash
# Creates the configuration in the guest, once: setup-configuration TEMPLATE TARGET GIT
#
# TEMPLATE is what it begins as, TARGET is /etc/nixos, GIT is `git` for a repository with a first commit. What is in
# TARGET already stays as it is. flake.nix appears last, and only with everything else: it is how the unit that runs this
# knows that it is done.
set -euo pipefail
umask 022
template=$1
target=$2
repository=$3

[[ ! -e $target/flake.nix ]] || exit 0

fresh=$(dirname "$target")/.$(basename "$target").ai-vm
rm -rf "$fresh"
# Files of the store may be read only; these are to be changed.
cp --recursive --dereference --no-preserve=mode,ownership "$template" "$fresh"
cat /proc/sys/kernel/hostname >"$fresh/hostname"

if [[ ! -e $target ]] || rmdir "$target" 2>/dev/null; then
  if [[ $repository == git ]]; then
    git -C "$fresh" init --quiet --initial-branch=main
    git -C "$fresh" add --all
    git -C "$fresh" -c user.name=ai-vm -c user.email=ai-vm@localhost commit --quiet --message 'As ai-vm made it'
  fi
  mv "$fresh" "$target"
  sync "$(dirname "$target")"
  exit 0
fi

# Somebody's directory: what is missing is put in, nothing is replaced, and whether it is a repository is theirs to say.
echo "ai-vm: $target has files already; adding what is missing beside them" >&2
cd "$fresh"
find . -type d -printf '%P\0' | while IFS= read -r -d '' dir; do mkdir -p "$target/$dir"; done
find . -type f ! -path ./flake.nix -printf '%P\0' | while IFS= read -r -d '' file; do
  [[ -e $target/$file || -L $target/$file ]] || mv "$file" "$target/$file"
done
mv flake.nix "$target/flake.nix"
cd /
rm -rf "$fresh"

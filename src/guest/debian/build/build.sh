#!/usr/bin/env bash
# Builds the Debian guest: root.img (the whole disk), vmlinux, initrd.img and cmdline in an existing directory.
# Usage: build.sh OUTDIR
#
# Where there is a directory `desktop` beside this file, the guest has a desktop besides: its packages, files and drivers.
#
# Runs as root or, where user namespaces and subordinate ids allow it, as anybody. Writes one line `step: ...` to
# stdout for each step, everything else to stderr.
#   AI_VM_MIRROR=URL   the Debian mirror; otherwise the one that this machine's apt uses, or mmdebstrap's default
#   AI_VM_CLAUDE=0     leaves Claude Code away
set -euo pipefail
umask 022
out=$1
recipe=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
suite=trixie
lists=("$recipe/packages")
size=3G
if [[ -d $recipe/desktop ]]; then
  lists+=("$recipe/desktop/packages")
  size=4G
fi

step() { printf 'step: %s\n' "$*"; }
fail() {
  printf '%s\n' "$*" >&2
  exit 1
}

# Where everything is unpacked, by whichever user of the namespace; gone at the end, however it comes.
TMPDIR=$(mktemp -d "${TMPDIR:-/var/tmp}/ai-vm-build.XXXXXX")
export TMPDIR
chmod 0755 "$TMPDIR"
feeder=
# What waits at the pipe for a tree that never comes would keep whoever reads the steps waiting too.
trap '[[ -z $feeder ]] || kill "$feeder" 2>/dev/null || true; rm -rf --one-file-system "$TMPDIR"' EXIT
# Told to end, everything that was started here is told too; mmdebstrap then removes what it has unpacked.
trap 'trap "" TERM INT HUP; kill 0; wait; exit 143' TERM INT HUP

missing=()
for pair in mmdebstrap=mmdebstrap mke2fs=e2fsprogs tar=tar; do
  command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
done
if ((EUID != 0)); then
  command -v newuidmap >/dev/null || missing+=(uidmap)
fi
[[ -e /usr/share/keyrings/debian-archive-keyring.gpg ]] || missing+=(debian-archive-keyring)
((${#missing[@]} == 0)) || fail "missing on this machine: sudo apt install ${missing[*]}"
if ((EUID != 0)) && ! grep -q "^\($(id -un)\|$(id -u)\):" /etc/subuid; then
  fail "you have no subordinate ids: sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $(id -un)"
fi

# The mirror of this machine's own Debian packages has other releases too.
mirror=${AI_VM_MIRROR:-}
if [[ -z $mirror ]] && command -v apt-get >/dev/null; then
  # shellcheck disable=SC2016 # apt-get fills the fields in
  mirror=$(apt-get indextargets --format '$(ORIGIN) $(CODENAME) $(REPO_URI)' 2>/dev/null |
    awk '$1 == "Debian" && $2 !~ /-/ { print $3; exit }' || true)
fi

# Streams the Claude Code binary, and npm itself, as one tar archive. npm verifies what it fetches.
claude_archive() {
  local work
  work=$(mktemp -d)
  (
    cd "$work"
    npm pack --silent @anthropic-ai/claude-code-linux-x64 npm >/dev/null
    mkdir -p usr/local/bin usr/local/lib/node_modules/npm
    tar -xOzf anthropic-ai-claude-code-linux-x64-*.tgz package/claude >usr/local/bin/claude
    tar -xzf npm-*.tgz -C usr/local/lib/node_modules/npm --strip-components=1
    ln -s ../lib/node_modules/npm/bin/npm-cli.js usr/local/bin/npm
    ln -s ../lib/node_modules/npm/bin/npx-cli.js usr/local/bin/npx
    chmod 0755 usr/local/bin/claude usr/local/lib/node_modules/npm/bin/*.js
    tar -c --owner=0 --group=0 usr
  ) || true
  rm -rf "$work"
}

# mmdebstrap's tree belongs to a user namespace that may not enter private directories, such as the one above $out.
# Descriptor 3 is $out itself: whoever inherits it needs no way in from above. (mmdebstrap leaves room for just one.)
: >"$out/root.img"
: >"$out/vmlinux"
: >"$out/initrd.img"
truncate -s "$size" "$out/root.img"
cp -R "$recipe" "$out/recipe"
mkfifo "$out/archive"
chmod -R a+rX "$out/recipe"
chmod 0666 "$out/root.img" "$out/vmlinux" "$out/initrd.img" "$out/archive"
chmod 0711 "$out"
exec 3<"$out"

packages=$(sed '/^#/d' "${lists[@]}" | paste -sd,)
if [[ ${AI_VM_CLAUDE:-1} == 0 ]]; then
  claude=none
elif command -v npm >/dev/null; then
  claude=archive
  # Beside everything else: it waits in the pipe until the tree is ready for it.
  claude_archive >"$out/archive" &
  feeder=$!
else
  claude=npm
  packages=$packages,npm
fi

# shellcheck disable=SC2016 # $1 is the tree, for the hooks' own shell
hooks=(
  --customize-hook='echo "I: setting up the guest" >&2'
  --customize-hook='cp -R /proc/self/fd/3/recipe "$1/tmp/recipe"'
  --customize-hook='sh "$1/tmp/recipe/claude.sh" "$1" '"$claude"' /proc/self/fd/3/archive'
  --customize-hook='sh "$1/tmp/recipe/customize.sh" "$1"'
  --customize-hook='[ ! -d "$1/tmp/recipe/desktop" ] || sh "$1/tmp/recipe/desktop/customize.sh" "$1"'
  --customize-hook='sh "$1/tmp/recipe/boot.sh" "$1" /proc/self/fd/3/vmlinux /proc/self/fd/3/initrd.img'
  --customize-hook='echo "I: making the disk" >&2'
  --customize-hook='sh /proc/self/fd/3/recipe/disk.sh "$1" /proc/self/fd/3/root.img'
)

# Debian's packages carry what a guest without hardware never uses. Of what is left away, only QEMU's own sound card is wanted
# in all guests, and its graphics card where there is a desktop.
paths=()
for path in '/usr/share/doc/*' '/usr/share/man/*' '/usr/share/info/*' '/usr/share/locale/*' \
  '/usr/lib/modules/*/kernel/sound/*' '/usr/lib/modules/*/kernel/drivers/gpu/*' \
  '/usr/lib/modules/*/kernel/drivers/media/*' '/usr/lib/modules/*/kernel/drivers/net/wireless/*' \
  '/usr/lib/modules/*/kernel/drivers/net/ethernet/*' '/usr/lib/modules/*/kernel/drivers/infiniband/*' \
  '/usr/lib/modules/*/kernel/drivers/iio/*' '/usr/lib/modules/*/kernel/drivers/staging/*'; do
  paths+=("--dpkgopt=path-exclude=$path")
done
wanted=(/usr/share/locale/locale.alias '/usr/lib/modules/*/kernel/sound/'{core,hda,pci/hda}'/*' '/usr/lib/modules/*/kernel/sound/soundcore.ko*')
[[ ! -d $recipe/desktop ]] || wanted+=('/usr/lib/modules/*/kernel/drivers/gpu/drm/drm*' '/usr/lib/modules/*/kernel/drivers/gpu/drm/virtio/*')
for path in "${wanted[@]}"; do
  paths+=("--dpkgopt=path-include=$path")
done

step "unpacking Debian $suite"
# The guest has an initial RAM disk of its own; Debian's would take ten seconds to make.
export INITRD=No
mode=(mmdebstrap --mode=unshare)
# Root's mounts too belong to the build alone, and end with it, however it ends: a tree left in /var/tmp with this
# machine's /dev and /sys still in it would be dangerous to delete.
((EUID != 0)) || mode=(unshare --mount mmdebstrap --mode=root)
said() {
  local line
  while IFS= read -r line; do
    case $line in
      "I: downloading packages"*) step "downloading packages" ;;
      "I: extracting archives"*) step "unpacking the base system" ;;
      "I: installing remaining packages"*) step "installing packages" ;;
      "I: setting up the guest"*) step "setting up the guest" ;;
      "I: making the disk"*) step "making the disk" ;;
    esac
    printf '%s\n' "$line" >&2
  done
}
"${mode[@]}" --variant=apt --format=null --skip=cleanup --include="$packages" \
  --aptopt='Acquire::Languages "none"' --aptopt='APT::Install-Recommends "false"' \
  --dpkgopt=force-unsafe-io "${paths[@]}" \
  "${hooks[@]}" "$suite" /dev/null ${mirror:+"$mirror"} 2> >(said) &
wait $!

cp "$recipe/cmdline" "$out/cmdline"
rm -rf "$out/recipe" "$out/archive"
chmod 0600 "$out"/{root.img,vmlinux,initrd.img,cmdline}
chmod 0700 "$out"

# Says what there is of Claude Code's configuration: what was sent last, then a record for each file, as cp's list has it.
# Arguments: how (quick, full), what to look at. Quick, the digest of what is to be there is read first, or nothing is done.
# shellcheck shell=sh
LC_ALL=C
export LC_ALL
how=$1
shift
cd -- "${HOME:-/}" || exit 80
if [ "$how" = quick ]; then
  IFS= read -r want || exit 0
fi
[ -d .claude ] || exit 0
cd .claude || exit 80
state=.ai-vm-sync
size=0
if [ -f "$state" ] && [ ! -L "$state" ]; then
  if [ "$how" = quick ] && [ "$(head -c 64 -- "$state")" = "$want" ]; then
    printf 'same\0'
    exit 0
  fi
  size=$(wc -c <"$state")
fi
printf '%d\0' "$size"
[ "$size" = 0 ] || head -c "$size" -- "$state"
for name; do
  shift
  if [ -e "./$name" ] || [ -L "./$name" ]; then
    set -- "$@" "$name"
  fi
done
[ $# -gt 0 ] || exit 0
find -P "$@" -printf '%y\0%s\0%T@\0%m\0%l\0%p\0' || {
  find . -prune -printf '' 2>/dev/null || exit 93
  exit 1
}

# Says what there is of Claude Code's configuration: what was sent last, then a record for each file, as cp's list has it.
# Arguments: the digest of what is to be there, how (quick, full), what to look at.
# shellcheck shell=sh
LC_ALL=C
export LC_ALL
want=$1 how=$2
shift 2
cd -- "${HOME:-/}" || exit 80
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

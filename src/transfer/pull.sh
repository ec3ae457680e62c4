# Sends files as a tar stream.
# Arguments: how (follow, tree, list), then pairs of a directory and a name in it. With `list`, stdin has the names to
# send, each ended by NUL, relative to the only directory.
# shellcheck shell=sh
LC_ALL=C
export LC_ALL
cd -- "${HOME:-/}" || exit 80
command -v tar >/dev/null 2>&1 || exit 81
how=$1 bad=0
shift
count=$#
while [ "$count" -gt 0 ]; do
  dir=$1 name=$2
  shift 2
  count=$((count - 2))
  case $dir in
    /*) ;;
    *) dir=$PWD/$dir ;;
  esac
  if [ ! -e "$dir/$name" ] && [ ! -L "$dir/$name" ]; then
    printf '%s\n' "there is no $dir/$name" >&2
    bad=1
    continue
  fi
  if [ "$how" = follow ] && [ -d "$dir/$name" ]; then
    printf '%s\n' "$dir/$name" >&2
    exit 90
  fi
  if [ "$how" = list ]; then
    set -- -C "$dir" --null --verbatim-files-from --no-recursion -T -
  else
    [ "$name" = . ] || name=./$name
    set -- "$@" -C "$dir" "$name"
  fi
done
[ $# -gt 0 ] || exit 91
[ "$how" != follow ] || set -- --dereference "$@"
tar -c -b 128 --format=posix --pax-option=delete=atime,delete=ctime --sparse --hard-dereference --no-unquote -f - "$@" || {
  code=$?
  tar --version 2>/dev/null | grep -q GNU || exit 81
  exit "$code"
}
exit "$bad"

# Says what there is: records of six fields, each ended by NUL: kind, size, time, mode, target, name. Then, where sums
# are wanted, a record whose kind is `#`, and SHA-256 sums with names, each ended by NUL.
# Arguments: whose (source, target), how (follow, tree), the directory, the name in it, the path if that is none, sums.
# shellcheck shell=sh
LC_ALL=C
export LC_ALL
whose=$1 how=$2 dir=$3 name=$4 sums=$5
cd -- "${HOME:-/}" || exit 80
if [ "$whose" = target ] && [ ! -d "$dir" ]; then
  path=$dir
else
  path=$dir/$name
fi
if [ ! -e "$path" ] && [ ! -L "$path" ]; then
  [ "$whose" = source ] || exit 0
  printf '%s\n' "$path" >&2
  exit 91
fi
follow=-P
if [ "$how" = follow ]; then
  follow=-H
  if [ -d "$path" ]; then
    [ "$whose" = target ] || printf '%s\n' "$path" >&2
    [ "$whose" = target ] || exit 90
    exit 0
  fi
fi
bad=0
find "$follow" "$path" -printf '%y\0%s\0%T@\0%m\0%l\0%P\0' || {
  find . -prune -printf '' 2>/dev/null || exit 93
  bad=1
}
[ "$sums" = yes ] || exit "$bad"
printf '#\0\0\0\0\0\0'
if [ -d "$path" ] && { [ ! -L "$path" ] || [ "$name" = . ]; }; then
  cd -- "$path" || exit 1
  find . -type f -exec sha256sum -b -z -- '{}' + || bad=1
elif [ -f "$path" ] && { [ ! -L "$path" ] || [ "$how" = follow ]; }; then
  sha256sum -b -z <"$path" || bad=1
fi
exit "$bad"

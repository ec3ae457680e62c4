# Receives files into a directory beside their place and moves them there when all have arrived.
# Arguments: the destination, the directory that it is in, how (exact, into, file), the word that ends the stream.
# shellcheck shell=sh
LC_ALL=C
export LC_ALL
dst=$1 parent=$2 how=$3 token=$4 stage='' bad=0
cd -- "${HOME:-/}" || exit 80
if [ "$how" != file ]; then
  command -v tar >/dev/null 2>&1 || exit 81
fi
if [ -d "$dst" ]; then
  [ "$how" != file ] || exit 82
  base=$dst
elif [ "$how" = into ] && { [ -e "$dst" ] || [ -L "$dst" ]; }; then
  exit 83
elif [ -d "$parent" ]; then
  base=$parent
else
  exit 84
fi

# Called by the trap.
# shellcheck disable=SC2317
# A directory that may not be written to is made so first; files in it can be the very ones at the destination.
discard() {
  [ -n "$stage" ] || return 0
  rm -rf -- "$stage" 2>/dev/null || {
    find "$stage" -type d -exec chmod u+rwx '{}' +
    rm -rf -- "$stage"
  }
}
trap discard EXIT
# Says that it could not be written; 92 where that is because the disk is full.
unwritten() {
  free=$(df -P -k -- "$stage" 2>/dev/null | tail -n 1 | sed -E 's/.* ([0-9]+) +[0-9]+% .*/\1/')
  [ "${free:-1000}" -ge 64 ] || exit 92
  exit 86
}
trap 'exit 143' HUP INT TERM PIPE
stage=$(mktemp -d -- "$base/.ai-vm-cp.XXXXXXXXXX") || exit 85

if [ "$how" = file ]; then
  cat >"$stage/t" || unwritten
  [ "$(tail -c 32 -- "$stage/t" | tr -d '\0')" = "$token" ] || exit 87
  truncate -s -32 -- "$stage/t" || exit 86
  mv -fT -- "$stage/t" "$dst" || exit 88
  exit 0
fi

# Records of 64 KiB: it reads and writes whole ones.
tar -x -b 128 -p --no-same-owner --delay-directory-restore -C "$stage" -f -
code=$?
[ -f "$stage/$token" ] || exit 87
[ "$code" = 0 ] || unwritten
# There is none yet where nothing came.
[ -d "$stage/t" ] || mkdir -- "$stage/t" || exit 85

move() {
  if [ -d "$1" ] && [ ! -L "$1" ] && [ ! -w "$1" ]; then
    mode=$(stat -c %a -- "$1") && chmod u+w -- "$1" && mv -fT -- "$1" "$2" && chmod "$mode" -- "$2"
  else
    mv -fT -- "$1" "$2"
  fi
}

# Hard links put the files of a directory in place: whole, and without being copied once more.
place() {
  if [ -d "$1" ] && [ ! -L "$1" ]; then
    if [ -d "$2" ] && [ ! -L "$2" ]; then
      cp -R -P -l -f --preserve=mode,timestamps -- "$1/." "$2/"
    elif [ -e "$2" ] || [ -L "$2" ]; then
      printf '%s\n' "cannot put a directory in the place of a file: $2" >&2
      return 1
    else
      move "$1" "$2"
    fi
  elif [ -d "$2" ] && [ ! -L "$2" ]; then
    printf '%s\n' "cannot put a file in the place of a directory: $2" >&2
    return 1
  else
    move "$1" "$2"
  fi
}

# Removes its arguments, of which each has a directory in its name.
# Not to be expanded here.
# shellcheck disable=SC2016
remove_locked='
  bad=0
  for name in "$@"; do
    [ -e "$name" ] || [ -L "$name" ] || continue
    dir=${name%/*}
    mode=$(stat -c %a -- "$dir") && chmod u+rwx -- "$dir" || bad=1
    [ ! -d "$name" ] || [ -L "$name" ] || find "$name" -type d -exec chmod u+rwx "{}" ";"
    rm -rf -- "$name" || bad=1
    chmod "$mode" -- "$dir" || bad=1
  done
  exit "$bad"
'

if [ "$how" = into ] && [ ! -d "$dst" ]; then
  move "$stage/t" "$dst" || exit 88
  exit 0
fi
for from in "$stage/t"/* "$stage/t"/.[!.]* "$stage/t"/..?*; do
  [ -e "$from" ] || [ -L "$from" ] || continue
  # Our own book of what is there (src/claude/config) comes last, and would not be true.
  [ "$bad" = 0 ] || [ "${from##*/}" != .ai-vm-sync ] || continue
  if [ "$base" = "$dst" ]; then
    place "$from" "$dst/${from##*/}" || bad=1
  else
    place "$from" "$dst" || bad=1
  fi
done
[ "$bad" = 0 ] || exit 88
if [ -f "$stage/removed" ]; then
  exec 8<"$stage/removed" 9<"$stage/removed"
  cd -- "$dst" || exit 89
  # What is in a directory that may not be written to needs more; that says what is wrong with the rest.
  xargs -0 -r rm -rf -- <&8 2>/dev/null || xargs -0 -r sh -c "$remove_locked" sh <&9 || exit 89
  cd - >/dev/null || exit 89
fi
exit 0

# What scripts in a guest have in common that know things of one line each of something that runs, each a file in its
# directory: `pid` is the process whose end is its end.
# The text of a script is in `script`, because it is also what runs apart.
# shellcheck shell=sh

# keep_script DIR: makes a file of it, because some of those that start programs have a meaning of their own for what is in it.
# shellcheck disable=SC2154
keep_script() { printf '%s' "$script" >"$1/script"; }

# put DIR NAME TEXT: writes a line, which is there whole or not at all.
put() { printf '%s\n' "$3" >"$1/$2.$$" && mv -f -- "$1/$2.$$" "$1/$2"; }

# get DIR NAME: reads the first line into `line`; nothing where there is none.
get() {
  line=
  [ ! -f "$1/$2" ] || IFS= read -r line <"$1/$2" || :
}

# process PID: when it was started, in the kernel's ticks, as `started`, its parent as `parent`, its group as `group`. Fails
# where it is no more.
process() {
  case $1 in
    '' | *[!0-9]*) return 1 ;;
  esac
  line=
  { IFS= read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1
  # The name in parentheses may be anything; after it come the state, the parent, the group, and 18 others.
  # shellcheck disable=SC2086 # they are numbers
  set -- ${line##*') '}
  [ "$#" -ge 20 ] && [ "$1" != Z ] || return 1
  # shellcheck disable=SC2034 # not every script asks for all
  started=${20} parent=$2 group=$3
}

# is_alive DIR: whether the process is there whose end is its end, and no other with its number. It is `pid` then.
is_alive() {
  get "$1" pid
  pid=${line%% *}
  at=${line#* }
  process "$pid" && [ "$started" = "$at" ]
}

# note_pid DIR: its life is that of the shell that calls this. Fails where that of another one is.
note_pid() {
  process "$$" && printf '%s\n' "$$ $started" >"$1/pid.$$" || return 1
  ln -- "$1/pid.$$" "$1/pid" 2>/dev/null
  first=$?
  rm -f -- "$1/pid.$$"
  return "$first"
}

# await_pid DIR: waits until it has been begun, for ten seconds.
await_pid() {
  round=0
  until [ -f "$1/pid" ]; do
    round=$((round + 1))
    [ "$round" -lt 200 ] || return 1
    sleep 0.05
  done
}

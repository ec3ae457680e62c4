# What the scripts about agents have in common: where an agent's directory is, and what its files say. Every agent has
# one, with a file of one line for each thing that is known of it; `mod.rs` says which.
# shellcheck shell=sh
umask 077
agents=${XDG_STATE_HOME:-${HOME:-/nonexistent}/.local/state}/ai-vm/agents

# put DIR NAME TEXT: writes a line, which is there whole or not at all.
put() { printf '%s\n' "$3" >"$1/$2.new" && mv -f -- "$1/$2.new" "$1/$2"; }

# get DIR NAME: reads the first line into `line`; nothing where there is none.
get() {
  line=
  [ ! -f "$1/$2" ] || IFS= read -r line <"$1/$2" || :
}

# process PID: when it was started, in the kernel's ticks, as `started`, and its group as `group`. Fails where it is no more.
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
  # shellcheck disable=SC2034 # not every script asks for the group
  started=${20} group=$3
}

# is_alive DIR: whether the process is there whose end is the agent's, and no other with its number. It is `pid` then.
is_alive() {
  get "$1" pid
  pid=${line%% *}
  at=${line#* }
  process "$pid" && [ "$started" = "$at" ]
}

# begin_dir ID: makes the directory of a new agent, as `dir`, and removes those of agents that ended long ago: a week, or
# fifty agents.
begin_dir() {
  mkdir -p -- "$agents" || return 1
  dir=$agents/$1
  week_ago=$(($(date +%s) - 604800))
  count=0
  find "$agents" -mindepth 1 -maxdepth 1 -type d -printf '%T@ %f\n' 2>/dev/null | sort -rn |
    while read -r time old; do
      count=$((count + 1))
      if [ "$count" -ge 50 ] || [ "${time%%.*}" -lt "$week_ago" ]; then
        is_alive "$agents/$old" || rm -rf -- "${agents:?}/$old"
      fi
    done
  mkdir -- "$dir" && put "$dir" begun "$(date +%s)"
}

# note_pid DIR: the agent's life is that of the shell that calls this.
note_pid() { process "$$" && put "$1" pid "$$ $started"; }

# note_prompt DIR: what is shown of the prompt in `input`.
note_prompt() { put "$1" prompt "$(head -c 200 -- "$1/input" | tr '\n\r\t' '   ')"; }

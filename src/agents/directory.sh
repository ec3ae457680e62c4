# What the scripts about agents have in common: where an agent's directory is, and what its files say. Every agent has
# one, with a file of one line for each thing that is known of it; `mod.rs` says which. Follows process.sh.
# shellcheck shell=sh
# shellcheck disable=SC2034 # not every script asks for all
# What is begun has the one of whoever begins it.
mask=$(umask)
umask 077
agents=${XDG_STATE_HOME:-${HOME:-/nonexistent}/.local/state}/ai-vm/agents

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
  [ -d "$dir" ] || mkdir -- "$dir" || return 1
  [ -f "$dir/begun" ] || put "$dir" begun "$(date +%s)"
}

# note_prompt DIR: what is shown of the prompt in `input`.
note_prompt() { put "$1" prompt "$(head -c 200 -- "$1/input" | tr '\n\r\t' '   ')"; }

# goes_on: whether the user's own manager runs without a login, as `runtime` is to be told to who speaks to it. A login's end may
# end what it began; that manager's does not.
goes_on() {
  runtime=/run/user/$(id -u)
  [ -e "/var/lib/systemd/linger/$(id -un)" ] && [ -S "$runtime/systemd/private" ]
}

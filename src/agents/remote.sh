# Agents in this guest: begins, lists, shows and ends them. Follows process.sh and directory.sh, and has its own text as `script`,
# because it is also what runs in a session. The first argument says what is to be done, the second is the agent's ID:
#   list                         says what is known of each agent, each field ended by NUL
#   begin ID BYTES CWD COLUMNS ROWS COMMAND  begins a session; the prompt is stdin, of so many bytes. Without a command it is
#                                Claude Code
#   live ID                      the session itself
#   attach ID FAREWELL           connects the terminal to it; says farewell when it goes on
#   screen ID                    prints what its terminal shows and has shown
#   log ID                       prints what a run has written, as far as it is not too long ago
#   send ID BYTES                pastes stdin into it, of so many bytes, and presses Enter
#   stop ID                      ends it, and prints by which signal
#   wait ID WHAT SECONDS         waits until it is `done`, `waiting` or `ended`, and says then what `list` does
# shellcheck shell=sh
# shellcheck disable=SC2154 # what those set
# A tmux of its own, which nobody's configuration changes and whose end does not end anybody else's.
in_tmux() { tmux -u -L ai-vm -f /dev/null "$@"; }

# state_of DIR: what it does, as `state`.
state_of() {
  if [ -f "$1/stopped" ] && ! is_alive "$1"; then
    state=stopped
  elif get "$1" exit && [ -n "$line" ]; then
    state="exit $line"
  elif is_alive "$1"; then
    get "$1" state
    case $line in
      working | done | 'waiting '?*) state=$line ;;
      *) state=running ;;
    esac
  # It may have ended since.
  elif get "$1" exit && [ -n "$line" ]; then
    state="exit $line"
  else
    state=gone
  fi
}

# cost_of DIR: what a run that has ended says that it cost, in dollars, as `line`. Found out once.
cost_of() {
  get "$1" cost
  if [ -z "$line" ] && [ -f "$1/exit" ] && [ -f "$1/log" ]; then
    line=$(tail -c 65536 -- "$1/log" | sed -n '/"type":"result"/s/.*"total_cost_usd":\([0-9.eE+-]*\).*/\1/p' | tail -n 1)
    put "$1" cost "${line:--}"
  fi
  [ "$line" != - ] || line=
}

say() { printf '%.400s\0' "$@"; }

# Says what is known of one agent. `times` has when its files were last written.
tell() {
  state_of "$1"
  since=
  for name in begun state exit stopped; do
    case $times in
      *"
$1/$name "*)
        time=${times#*"
$1/$name "}
        time=${time%%
*}
        [ "$time" -le "${since:-0}" ] || since=$time
        ;;
    esac
  done
  say agent "${1##*/}"
  get "$1" kind && say "$line"
  say "$state" "$since"
  for name in begun cwd command prompt; do
    get "$1" "$name" && say "$line"
  done
  cost_of "$1" && say "$line"
}

# Claude Codes that nobody wrote down. What one of them has started is a part of it.
tell_others() {
  for pid in $(pgrep -u "$(id -u)" -x 'claude|[.]claude-.*' 2>/dev/null); do
    ! tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | grep -q '^AI_VM_AGENT=' || continue
    process "$pid" || continue
    parent=$(ps -o ppid= -p "$pid" | tr -d ' ')
    case $(ps -o comm= -p "${parent:-1}") in
      claude | .claude-*) continue ;;
    esac
    begun=$(stat -c %Y -- "/proc/$pid")
    say agent '' own running "$begun" "$begun" "$(readlink "/proc/$pid/cwd")" claude '' ''
  done
}

find_times() {
  times="
$(stat -c '%n %Y' -- "$@" 2>/dev/null)
"
}

list() {
  LC_ALL=C
  export LC_ALL
  say 'ai-vm agents' "$(date +%s)"
  find_times "$agents"/*/begun "$agents"/*/state "$agents"/*/exit "$agents"/*/stopped
  for dir in "$agents"/*; do
    case ${dir##*/} in
      *[!0-9a-f]*) continue ;;
      ????????????) ;;
      *) continue ;;
    esac
    # Whoever started one in a terminal has seen its end there.
    get "$dir" kind
    if [ "$line" != own ] || is_alive "$dir"; then
      tell "$dir"
    fi
  done
  tell_others
  say end
}

# abandon CODE: leaves nothing half-made behind.
abandon() {
  rm -rf -- "$dir"
  exit "$1"
}

# take FILE BYTES: writes stdin down, of which no byte may be missing: a connection that broke off has an end as well.
take() { cat >"$1" && [ "$(wc -c <"$1")" -eq "$2" ]; }

# begin BYTES CWD COLUMNS ROWS COMMAND
begin() {
  command -v tmux >/dev/null 2>&1 || exit 80
  [ -n "$5" ] || command -v start-claude >/dev/null 2>&1 || exit 81
  cd -- "${HOME:-/}" && cd -- "$2" 2>/dev/null || exit 82
  begin_dir "$id" || exit 83
  # shellcheck disable=SC2015 # both are errors
  take "$dir/input" "$1" && printf '%s' "$5" >"$dir/line" && keep_script "$dir" || abandon 83
  if [ -s "$dir/input" ]; then note_prompt "$dir"; else rm -f -- "$dir/input"; fi
  name=${5:-claude}
  # shellcheck disable=SC2015
  put "$dir" kind session && put "$dir" cwd "$PWD" && put "$dir" command "$(printf %.200s "$name" | tr '\n\r\t' '   ')" ||
    abandon 83
  umask "$mask"
  # Keys that come at once are keys all the same: what is taken for a paste goes past the way out.
  set -- tmux -u -L ai-vm -f /dev/null start-server ';' set-option -g assume-paste-time 0 ';' \
    set-option -g history-limit 50000 ';' set-option -g status off ';' set-option -g mouse on ';' \
    set-option -g prefix None ';' set-option -s escape-time 10 ';' set-option -g focus-events on ';' \
    bind-key -n 'C-]' detach-client ';' set-environment -g COLORTERM truecolor ';' \
    new-session -d -s "$id" -x "$3" -y "$4" -c "$PWD" sh "$dir/script" live "$id"
  if ! goes_on || ! XDG_RUNTIME_DIR=$runtime systemd-run --user --scope --quiet --collect -- "$@" </dev/null >/dev/null 2>&1; then
    "$@" </dev/null >&2 || abandon 84
  fi
  await_pid "$dir" || abandon 84
}

# It outlives a polite end just long enough to write down how that went.
live() {
  AI_VM_AGENT=$dir
  export AI_VM_AGENT
  trap : TERM INT HUP
  note_pid "$dir" || exit 1
  line=$(cat -- "$dir/line")
  if [ -n "$line" ]; then
    if [ -f "$dir/input" ]; then
      AI_VM_PROMPT=$(cat -- "$dir/input")
      export AI_VM_PROMPT
    fi
    set -- "${SHELL:-/bin/sh}" -l -c "$line"
  elif [ -f "$dir/input" ]; then
    set -- start-claude -- "$(cat -- "$dir/input")"
  else
    set -- start-claude
  fi
  (umask "$mask" && exec "$@")
  code=$?
  tmux capture-pane -p -J -S - 2>/dev/null | tail -c 1048576 >"$dir/screen"
  put "$dir" exit "$code"
}

require_session() {
  get "$dir" kind
  [ "$line" = session ] || exit 87
}

# attach FAREWELL
attach() {
  get "$dir" kind
  if [ "$line" != session ] || ! is_alive "$dir"; then
    printf 'this agent has ended, or has no terminal of its own\n' >&2
    exit 125
  fi
  command -v infocmp >/dev/null 2>&1 && ! infocmp "$TERM" >/dev/null 2>&1 && TERM=xterm-256color && export TERM
  in_tmux attach-session -t "=$id" ';' display-message -d 4000 'Ctrl-] leaves it going on' || exit 125
  # Its screen is gone a moment before it.
  round=0
  while is_alive "$dir" && ! in_tmux has-session -t "=$id" 2>/dev/null && [ "$round" -lt 50 ]; do
    round=$((round + 1))
    sleep 0.1
  done
  get "$dir" exit
  [ -z "$line" ] || exit "$line"
  is_alive "$dir" || exit 143
  printf '%s\n' "$1" >&2
}

screen() {
  require_session
  if is_alive "$dir" && in_tmux capture-pane -p -J -S - -t "=$id:" 2>/dev/null; then
    return
  fi
  cat -- "$dir/screen" 2>/dev/null || exit 86
}

log() {
  tail -c 16777216 -- "$dir/log" 2>/dev/null || exit 89
}

# send BYTES
send() {
  require_session
  is_alive "$dir" || exit 86
  # shellcheck disable=SC2015
  take "$dir/sent" "$1" && in_tmux load-buffer -b "$id" "$dir/sent" && rm -f -- "$dir/sent" && in_tmux paste-buffer -p -r -d -b "$id" -t "=$id:" || exit 84
  # A program that takes what comes together for one paste is not to take this for a part of it.
  sleep 0.4
  before=$(stat -c %i -- "$dir/state" 2>/dev/null)
  in_tmux send-keys -t "=$id:" Enter || exit 84
  # Whoever waits for it next is not to take what it was before for what it is then. Not every text makes it say something.
  round=0
  while [ -n "$before" ] && [ "$round" -lt 30 ] && [ "$(stat -c %i -- "$dir/state" 2>/dev/null)" = "$before" ]; do
    round=$((round + 1))
    sleep 0.1
  done
}

# belonging DIR: all processes that an agent has started, also those that have left its group: what they have in common is a variable.
belonging() {
  grep -lzFx -- "AI_VM_AGENT=$1" /proc/[0-9]*/environ 2>/dev/null | while IFS=/ read -r _ _ number _; do
    printf '%s ' "$number"
  done
}

stop() {
  is_alive "$dir" || exit 86
  process "$pid" || exit 86
  # Together with what it has started, where that is a group of its own.
  target=$pid
  [ "$group" != "$pid" ] || target=-$pid
  put "$dir" stopped "$(date +%s)" || exit 83
  for signal in TERM KILL; do
    # Some may be no more by then.
    # shellcheck disable=SC2046 # they are numbers
    kill -s "$signal" -- "$target" $(belonging "$dir") 2>/dev/null
    round=0
    while is_alive "$dir" || [ -n "$(belonging "$dir")" ]; do
      round=$((round + 1))
      [ "$round" -lt 100 ] || continue 2
      sleep 0.1
    done
    printf '%s' "$signal"
    return
  done
  exit 88
}

# wait_for WHAT SECONDS
wait_for() {
  left=$(($2 * 2))
  while :; do
    state_of "$dir"
    case $1:$state in
      *:stopped | *:gone | *:exit\ * | done:done | waiting:waiting*) break ;;
    esac
    [ "$left" -gt 0 ] || break
    left=$((left - 1))
    sleep 0.5
  done
  say 'ai-vm agents' "$(date +%s)"
  find_times "$dir/begun" "$dir/state" "$dir/exit" "$dir/stopped"
  tell "$dir"
  say end
}

what=$1 id=${2-}
dir=$agents/$id
case $what in
  list | begin) ;;
  # A tmux that is there already may have been started with other variables.
  live) dir=${0%/*} ;;
  *) [ -d "$dir" ] || exit 85 ;;
esac
shift
[ "$#" = 0 ] || shift
case $what in
  list) list ;;
  begin) begin "$@" ;;
  live) live ;;
  attach) attach "$@" ;;
  screen) screen ;;
  log) log ;;
  send) send "$@" ;;
  stop) stop ;;
  wait) wait_for "$@" ;;
esac

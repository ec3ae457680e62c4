# Runs an agent without a terminal in this guest, apart from the connection that asks for it, and shows its log. Follows
# process.sh, directory.sh and apart.sh; the name of a run is the agent's ID. What is to be done:
#   follow, begin  start it unless it is there, and show its log to its end, or not. The further arguments are the folder, a
#                  line for the login shell (none for Claude Code), how many of its kind it is, how many seconds it may take
#                  (0: any), and how many bytes its prompt has, which is stdin
#   attach         shows the log of one that is there
#   live           is the agent; the third argument is how many of its kind, the fourth how many seconds it may take
# shellcheck shell=sh
# shellcheck disable=SC2154 # what stands before
start() {
  set -- /bin/sh "$dir/script" live "$run" "$@"
  if ! goes_on || ! XDG_RUNTIME_DIR=$runtime systemd-run --user --quiet --collect --unit="ai-vm-agent-$run" \
      --description='Agent, started by ai-vm' --working-directory="$PWD" \
      --setenv=PATH="$PATH" --setenv=HOME="$HOME" --setenv=SHELL="${SHELL:-/bin/sh}" \
      -- "$@" </dev/null >/dev/null 2>&1; then
    # Of nobody who can be ended together with this.
    (umask "$mask" && setsid "$@" </dev/null >/dev/null 2>&1 &)
  fi
  await_pid "$dir" || exit 84
}

# begin FOLDER LINE NUMBER SECONDS BYTES
begin() {
  [ -n "$2" ] || command -v start-claude >/dev/null 2>&1 || exit 81
  cd -- "${HOME:-/}" && cd -- "$1" 2>/dev/null || exit 82
  begin_dir "$run" || exit 83
  head -c "$5" >"$dir/input.$$" || exit 83
  # A connection that broke off has an end of its stdin too.
  [ "$(wc -c <"$dir/input.$$")" -eq "$5" ] || exit 83
  line=$2
  # shellcheck disable=SC2015 # all are errors
  mv -f -- "$dir/input.$$" "$dir/input" && : >>"$dir/log" && : >>"$dir/err" && keep_script "$dir" && printf '%s' "$line" >"$dir/line" &&
    note_prompt "$dir" && put "$dir" command "$(printf %.200s "${line:-claude}" | tr '\n\r\t' '   ')" &&
    put "$dir" cwd "$PWD" && put "$dir" kind run || exit 83
  start "$3" "$4"
}

# agent NUMBER SECONDS: is one of that many, as whoever starts it was.
agent() {
  umask "$mask"
  AI_VM_AGENT=$dir AI_VM_RUN=$1 line=$(cat -- "$dir/line")
  export AI_VM_AGENT AI_VM_RUN
  if [ -z "$line" ]; then
    line='start-claude -p --output-format stream-json --verbose'
  elif [ "$(wc -c <"$dir/input")" -le 102400 ]; then
    # What is read so has no line ends at its end.
    AI_VM_PROMPT=$(cat -- "$dir/input" && echo .)
    AI_VM_PROMPT=${AI_VM_PROMPT%.}
    export AI_VM_PROMPT
  fi
  seconds=$2
  set -- "${SHELL:-/bin/sh}" -l -c "$line"
  [ "$seconds" = 0 ] || set -- timeout -k 10 "$seconds" "$@"
  live "$dir" "$dir/input" "$dir/err" "$@"
}

dir=$agents/$run
case $what in
  live)
    dir=${0%/*}
    agent "$3" "$4"
    exit
    ;;
  follow | begin)
    shift 3
    [ -f "$dir/pid" ] || begin "$@"
    ;;
esac
[ -f "$dir/pid" ] || exit 85
tell "run $run"
[ "$what" != begin ] || exit 0
show "$dir"
[ ! -f "$dir/stopped" ] || exit 87
[ -f "$dir/exit" ] || exit 86
get "$dir" exit
# shellcheck disable=SC2015 # neither is an error
[ "$line" = 0 ] || tail -c 1500 -- "$dir/err" 2>/dev/null | sed 's/^/stderr: /' >&2
tell "exit $line"

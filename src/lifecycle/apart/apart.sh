# What every script has that runs something in a guest apart from the connection that asks for it. It follows process.sh and
# stands before such a script. The first arguments are: what is to be done; the name of a run, hexadecimal digits; how many bytes of its log are known already.
# stdout is the log and nothing else. What there is to say goes to stderr, one line each: `ai-vm: run NAME` before the log
# of a run, `ai-vm: joined NAME` where that is another one, `ai-vm: under way`, `ai-vm: exit CODE`.
# A run has a directory: `script`, `pid` as soon as it runs, `log`, and `exit` when it has ended by itself.
# shellcheck shell=sh
# Not all is used here, and process.sh has the rest.
# shellcheck disable=SC2034,SC2154
what=$1 run=$2 known=$3

tell() { printf 'ai-vm: %s\n' "$*" >&2; }

# live DIR IN ERR PROGRAM ARG...: is what runs apart. Begun twice, it runs once. It outlives a polite end just long enough to
# write down how that ended.
live() {
  dir=$1 in=$2 err=$3
  shift 3
  note_pid "$dir" || exit 1
  trap : TERM INT HUP
  "$@" <"$in" >>"$dir/log" 2>>"$err"
  put "$dir" exit "$?"
}

# show DIR: shows the log to its end, or for as long as whoever asked for this is there.
show() {
  {
    until [ -e "$1/exit" ] || ! is_alive "$1"; do
      { process "$$" && [ "$parent" = "$PPID" ]; } || break
      sleep 0.5
    done
  } </dev/null >/dev/null 2>&1 &
  tail -c "+$((known + 1))" -s 0.2 --pid="$!" -f -- "$1/log"
}

# What every script has that runs something in this machine apart from the connection that asks for it. It stands before
# such a script, whose first arguments are: what is to be done; the name of a run, hexadecimal digits; how many bytes of its
# log are known already.
# stdout is the log and nothing else. What there is to say goes to stderr, one line each: `ai-vm: run NAME` before the log
# of a run, `ai-vm: joined NAME` where that is another one, `ai-vm: under way`, `ai-vm: exit CODE`.
# A run has a directory: `begun` (Unix seconds) and `pid` (with the start time in /proc/PID/stat) are there as soon as it
# runs, `log`, and `exit` when it has ended by itself.
# shellcheck shell=sh
# Not all is used here.
# shellcheck disable=SC2034
what=$1 run=$2 known=$3

tell() { printf 'ai-vm: %s\n' "$*" >&2; }

# Writes a file in a directory, as a whole.
record() { cat >"$1/$2.$$" && mv -f "$1/$2.$$" "$1/$2"; }

# What is started apart: the directory of a run, what it reads, what takes its stderr, the program and its arguments. Begun
# twice, it runs once. It outlives a polite end just long enough to write down how that ended.
# Not to be expanded here.
# shellcheck disable=SC2016
body='
  dir=$1 in=$2 err=$3
  shift 3
  date +%s >"$dir/begun.$$" && ln "$dir/begun.$$" "$dir/begun"
  first=$?
  rm -f "$dir/begun.$$"
  [ "$first" = 0 ] || exit 1
  record() { cat >"$dir/$1.$$" && mv -f "$dir/$1.$$" "$dir/$1"; }
  stat=$(cat "/proc/$$/stat")
  echo "$$ $(set -- ${stat##*)} && echo "${20}")" | record pid
  trap : TERM INT HUP
  "$@" <"$in" >>"$dir/log" 2>>"$err"
  echo "$?" | record exit
'

# Tells whether the process of a run is there. One that has ended and that nobody has waited for is not.
lives() {
  { read -r lives_pid lives_since <"$1/pid" && read -r lives_stat <"/proc/$lives_pid/stat"; } 2>/dev/null || return 1
  # The name, which comes first, may have anything in it.
  # shellcheck disable=SC2086
  set -- ${lives_stat##*)}
  [ "$1" != Z ] && [ "${20}" = "$lives_since" ]
}

# Waits until what has been started runs, for a few seconds.
await_begin() {
  round=0
  until [ -e "$1/pid" ]; do
    round=$((round + 1))
    [ "$round" -lt 200 ] || return 1
    sleep 0.05
  done
}

# Shows the log of a run to its end, or for as long as whoever began this script is there.
show() {
  {
    until [ -e "$1/exit" ] || ! lives "$1"; do
      read -r lives_stat </proc/$$/stat
      # shellcheck disable=SC2086
      set -- "$1" ${lives_stat##*)}
      [ "$3" = "$PPID" ] || break
      sleep 0.5
    done
  } </dev/null >/dev/null 2>&1 &
  tail -c "+$((known + 1))" -s 0.2 --pid="$!" -f -- "$1/log"
}

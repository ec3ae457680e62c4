# Runs this machine's `rebuild` apart from the connection that asks for it, as a unit of systemd's, and shows its log.
# Runs as root. Arguments: what is to be done; the name of a run, 32 hexadecimal digits; how many bytes of its log are
# known already.
#   follow  starts that run unless it is there, or joins another one that is under way, and shows its log to its end
#   begin   the same without showing anything
#   attach  shows the log of that run to its end, and starts none
#   log     shows the log of the last run as far as it is
# stdout is the log and nothing else. What there is to say goes to stderr, one line each: `ai-vm: run NAME` before the log
# of a run, `ai-vm: joined NAME` where that is another one, `ai-vm: under way`, `ai-vm: exit CODE`.
# Each run has a directory: `begun` is there as soon as it runs, `log`, and `exit` when it has ended by itself.
# shellcheck shell=sh
LC_ALL=C
export LC_ALL
umask 022
what=$1 run=$2 known=$3
runs=${AI_VM_REBUILDS:-/var/lib/ai-vm/rebuilds}
unit=ai-vm-rebuild.service

tell() { printf 'ai-vm: %s\n' "$*" >&2; }
is_under_way() {
  case $(systemctl show --property=ActiveState --value "$unit" 2>/dev/null) in
    active | activating | deactivating | reloading) ;;
    *) return 1 ;;
  esac
}
is_last() { [ "$(cat "$runs/last" 2>/dev/null)" = "$run" ]; }

# What the unit runs. It outlives a polite end of its unit just long enough to write down how that ended.
# Not to be expanded here.
# shellcheck disable=SC2016
body='
  : >"$1/begun"
  umask 022
  trap : TERM INT HUP
  "$2" </dev/null >>"$1/log" 2>&1
  printf "%s\n" "$?" >"$1/exit.new"
  mv -f "$1/exit.new" "$1/exit"
'
start() {
  program=$(command -v rebuild) || exit 81
  case $program in
    /*) ;;
    *) exit 81 ;;
  esac
  mkdir -p "$runs/$run" && : >"$runs/$run/log" || exit 82
  printf '%s\n' "$run" >"$runs/last.new" && mv -f "$runs/last.new" "$runs/last" || exit 82
  # A few are kept for those who still read them.
  find "$runs" -mindepth 1 -maxdepth 1 -type d -printf '%T@ %f\n' | sort -rn | tail -n +5 | while read -r _ old; do
    rm -rf -- "${runs:?}/$old"
  done
  systemd-run --quiet --collect --unit="$unit" --description='Rebuild of this machine, started by ai-vm' \
    --setenv=PATH="$PATH" --setenv=HOME=/root \
    -- /bin/sh -c "$body" ai-vm-rebuild "$runs/$run" "$program" 9>&- || exit 83
}
case $what in
  follow | begin)
    command -v systemd-run >/dev/null 2>&1 || exit 80
    # A log can say what is not for everybody; what lies beside it is not ours to close.
    mkdir -p "${runs%/*}" || exit 82
    umask 077
    mkdir -p "$runs" || exit 82
    # Whoever has this may start one. It is held for a moment only.
    exec 9>>"$runs/lock" || exit 82
    flock -w 120 9 || exit 82
    if [ ! -e "$runs/$run/begun" ]; then
      last=$(cat "$runs/last" 2>/dev/null)
      if ! is_under_way; then
        start
      elif [ -e "$runs/${last:-none}/exit" ]; then
        # It has just ended, and what it did not see yet is not to be left out. Its unit may still be ending what was
        # left behind, for which systemd gives 90 s.
        round=0
        while is_under_way; do
          round=$((round + 1))
          [ "$round" -lt 500 ] || exit 83
          sleep 0.2
        done
        start
      elif [ "$last" != "$run" ]; then
        [ -n "$last" ] || exit 83
        run=$last
        tell "joined $run"
      fi
    fi
    exec 9>&-
    tell "run $run"
    [ "$what" = follow ] || exit 0
    ;;
  log)
    run=$(cat "$runs/last" 2>/dev/null) || exit 84
    ;;
esac
dir=$runs/$run
[ -d "$dir" ] || exit 84
case $what in
  log)
    tail -c "+$((known + 1))" -- "$dir/log" || exit 84
    if [ ! -e "$dir/exit" ] && is_under_way; then
      tell 'under way'
      exit 0
    fi
    ;;
  *)
    [ "$what" != attach ] || tell "run $run"
    # A unit that was killed, or a machine that was, leaves no exit code: so systemd is asked now and then as well.
    {
      round=0
      until [ -e "$dir/exit" ]; do
        [ "$((round % 10))" != 0 ] || { is_last && is_under_way; } || break
        round=$((round + 1))
        sleep 0.5
      done
    } </dev/null >/dev/null 2>&1 &
    tail -c "+$((known + 1))" -s 0.2 --pid="$!" -f -- "$dir/log"
    ;;
esac
[ -e "$dir/exit" ] || exit 85
tell "exit $(cat "$dir/exit")"

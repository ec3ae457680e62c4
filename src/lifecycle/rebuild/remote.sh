# Runs this machine's `rebuild` apart from the connection that asks for it, as a unit of systemd's, and shows its log.
# Runs as root and follows apart.sh. What is to be done:
#   follow  starts that run unless it is there, or joins another one that is under way, and shows its log to its end
#   begin   the same without showing anything
#   attach  shows the log of that run to its end, and starts none
#   log     shows the log of the last run as far as it is
#   live    is that run; the third argument is the command
# shellcheck shell=sh disable=SC2154
LC_ALL=C
export LC_ALL
umask 022
runs=${AI_VM_REBUILDS:-/var/lib/ai-vm/rebuilds}
unit=ai-vm-rebuild.service

is_under_way() {
  case $(systemctl show --property=ActiveState --value "$unit" 2>/dev/null) in
    active | activating | deactivating | reloading) ;;
    *) return 1 ;;
  esac
}
start() {
  program=$(command -v rebuild) || exit 81
  case $program in
    /*) ;;
    *) exit 81 ;;
  esac
  mkdir -p "$runs/$run" && : >"$runs/$run/log" || exit 82
  keep_script "$runs/$run" && put "$runs" last "$run" || exit 82
  # A few are kept for those who still read them.
  find "$runs" -mindepth 1 -maxdepth 1 -type d -printf '%T@ %f\n' | sort -rn | tail -n +5 | while read -r _ old; do
    rm -rf -- "${runs:?}/$old"
  done
  systemd-run --quiet --collect --unit="$unit" --description='Rebuild of this machine, started by ai-vm' \
    --setenv=PATH="$PATH" --setenv=HOME=/root \
    -- /bin/sh "$runs/$run/script" live "$run" "$program" 9>&- || exit 83
  await_pid "$runs/$run" || exit 83
}
case $what in
  live)
    dir=${0%/*}
    live "$dir" /dev/null "$dir/log" "$3"
    exit
    ;;
  follow | begin)
    command -v systemd-run >/dev/null 2>&1 || exit 80
    # A log can say what is not for everybody; what lies beside it is not ours to close.
    mkdir -p "${runs%/*}" || exit 82
    umask 077
    mkdir -p "$runs" || exit 82
    # Whoever has this may start one. It is held for a moment only.
    exec 9>>"$runs/lock" || exit 82
    flock -w 120 9 || exit 82
    if [ ! -e "$runs/$run/pid" ]; then
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
    if [ ! -e "$dir/exit" ] && is_alive "$dir"; then
      tell 'under way'
      exit 0
    fi
    ;;
  *)
    [ "$what" != attach ] || tell "run $run"
    show "$dir"
    ;;
esac
[ -e "$dir/exit" ] || exit 85
tell "exit $(cat "$dir/exit")"

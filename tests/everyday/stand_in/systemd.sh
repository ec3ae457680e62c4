#!/usr/bin/env bash
# Plays systemd-run and systemctl, by the name under which it is called, for one unit: its process and everything that
# that starts are a session of their own, whose id is in the file `unit` beside the directory that this is called from.
set -euo pipefail
dir=$(cd "$(dirname "$0")/.." && pwd)
me=${0##*/}
# A process that has ended and that nobody has waited for is none.
lives() { [[ -s $dir/unit ]] && grep -qs '^State:	[^ZX]' "/proc/$(<"$dir/unit")/status"; }

if [[ $me == systemctl ]]; then
  case $1 in
    show) if lives; then echo active; else echo inactive; fi ;;
    stop) kill -TERM -- "-$(<"$dir/unit")" ;;
  esac
  exit
fi
unit='' variables=()
while [[ $1 != -- ]]; do
  case $1 in
    --unit=*) unit=${1#*=} ;;
    --setenv=*) variables+=("${1#*=}") ;;
  esac
  shift
done
shift
[[ $unit == ai-vm-rebuild.service ]]
if lives; then
  echo "Unit $unit was already loaded" >&2
  exit 1
fi
rm -f "$dir/unit"
# Nothing of whoever asks for it: no streams, no environment.
# shellcheck disable=SC2016 # for that shell
setsid env -i "${variables[@]}" sh -c 'echo "$$" >"$0/unit.new"; mv "$0/unit.new" "$0/unit"; exec "$@"' "$dir" "$@" \
  </dev/null >/dev/null 2>&1 &
until [[ -s $dir/unit ]]; do sleep 0.01; done

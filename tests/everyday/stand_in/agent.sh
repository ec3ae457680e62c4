#!/bin/sh
# Stands in for start-claude: says what it was told, and what it does as Claude Code's hooks would.
note() { printf '%s\n' "$1" >"$AI_VM_AGENT/state.$$" && mv "$AI_VM_AGENT/state.$$" "$AI_VM_AGENT/state"; }
echo "started [$*] in $PWD, $(umask)"
note 'done'
while IFS= read -r line; do
  case $line in
    work) note working ;;
    ask) note 'waiting answer' ;;
    deaf) trap '' TERM && echo 'nothing is heard any more' ;;
    quit) exit 7 ;;
    *)
      echo "got <$line>"
      note 'done'
      ;;
  esac
done

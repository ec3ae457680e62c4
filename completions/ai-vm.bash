# Completion for bash: source this file, or install it as share/bash-completion/completions/ai-vm.
# Verbs and flags are read from the program's own help, names from the registry, so nothing here grows old.
# shellcheck shell=bash

_ai_vm() {
  local current=${COMP_WORDS[COMP_CWORD]} verb=${COMP_WORDS[1]-} words='' index
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    words=$(ai-vm --help 2>/dev/null | sed -n '/^Commands:/,/^$/s/^  \([a-z-]*\) .*/\1/p')
  else
    for ((index = 2; index < COMP_CWORD; index++)); do
      # What follows is a command line of the guest.
      [[ ${COMP_WORDS[index]} != -- ]] || return 0
    done
    case $verb:$current in
      *:-*) words=$(ai-vm "$verb" --help 2>/dev/null | sed -nE 's/^ +(-[a-zA-Z], )?(--[a-z-]+).*/\2/p') ;;
      image:*) if ((COMP_CWORD == 2)); then words='ls build rm prune'; else words=$(ai-vm image ls -q 2>/dev/null); fi ;;
      port:*) if ((COMP_CWORD == 2)); then words='ls add rm'; else words=$(ai-vm ls -q 2>/dev/null); fi ;;
      ssh-keys:*) if ((COMP_CWORD == 2)); then words='show rotate'; else words=$(ai-vm ls -q 2>/dev/null); fi ;;
      create:* | up:* | doctor:* | config:*) ;;
      *) words=$(ai-vm ls -q 2>/dev/null) ;;
    esac
  fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}

complete -o default -F _ai_vm ai-vm

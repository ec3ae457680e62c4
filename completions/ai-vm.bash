# Completion for bash: source this file, or install it as share/bash-completion/completions/ai-vm.
# Verbs and flags are read from the program's own help, names from the registry, so nothing here grows old.
# shellcheck shell=bash

# Places of `cp`: names of VMs with a colon, files in them, files here.
_ai_vm_places() {
  # As it was typed: readline takes words apart at colons, and puts in only what comes after the last one.
  local line=${COMP_LINE:0:COMP_POINT} typed place kept='' found=()
  typed=${line##*[[:space:]]}
  # What is quoted would have to be understood as the shell does.
  [[ $typed =~ ^[[:alnum:]_./:,@%+=-]*$ && ${line%"$typed"} != *\\[[:space:]] ]] || return 0
  [[ $typed != *:* || $COMP_WORDBREAKS != *:* ]] || kept=${typed%"${typed##*:}"}
  mapfile -t found < <(ai-vm complete-place -- "$typed" 2>/dev/null)
  [[ $typed == *:* ]] || while read -r place; do
    [[ ! -d $place ]] || place+=/
    found+=("$place")
  done < <(compgen -f -- "$typed")
  for place in "${found[@]}"; do
    [[ $place != *[:/] ]] || compopt -o nospace
    # A VM can have a file of any name: it is never to be more than a part of a word.
    case $place in
      *:) ;;
      *:*) place=${place%%:*}:$(printf %q "${place#*:}") ;;
      *) place=$(printf %q "$place") ;;
    esac
    COMPREPLY+=("${place#"$kept"}")
  done
}

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
      share:*)
        # Without words of ours it is bash that puts in folders.
        if ((COMP_CWORD == 2)); then
          words='ls add rm'
        elif [[ ${COMP_WORDS[COMP_CWORD - 1]} != --r[wo] ]]; then
          words=$(ai-vm ls -q 2>/dev/null)
        fi
        ;;
      creds:*) if ((COMP_CWORD == 2)); then words='status set push pull wipe'; else words=$(ai-vm ls -q 2>/dev/null); fi ;;
      agents:*)
        words=$(ai-vm ls -q 2>/dev/null)
        if ((COMP_CWORD == 2)); then words+=' attach logs send stop wait'; fi
        ;;
      ssh-keys:*) if ((COMP_CWORD == 2)); then words='show rotate'; else words=$(ai-vm ls -q 2>/dev/null); fi ;;
      cp:*) _ai_vm_places; return 0 ;;
      create:* | up:* | trust:* | doctor:* | config:*) ;;
      *) words=$(ai-vm ls -q 2>/dev/null) ;;
    esac
  fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}

complete -o default -F _ai_vm ai-vm

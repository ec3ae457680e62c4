# Completion for bash: source this file, or install it as share/bash-completion/completions/ai-vm.
# What a word can become is asked of the program, so nothing here grows old.
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
  local line=${COMP_LINE:0:COMP_POINT} typed kept='' words=() found=() word
  COMPREPLY=()
  # As it was typed: readline takes words apart at `=` and `:`, and puts in only what comes after the last one.
  read -ra words <<<"$line"
  typed=${line##*[[:space:]]}
  [[ -n $typed ]] || words+=('')
  for word in "${words[@]:1:${#words[@]}-2}"; do
    # What follows is a command line of the guest.
    [[ $word != -- ]] || return 0
  done
  [[ $typed != *=* || $COMP_WORDBREAKS != *=* ]] || kept=${typed%"${typed##*=}"}
  # Behind a tab is what it is, which bash has no place for.
  mapfile -t found < <(ai-vm complete-words -- "${words[@]:1}" 2>/dev/null)
  if ((${#found[@]} == 0)) && [[ ${words[1]} == cp && $typed != -* ]]; then
    _ai_vm_places
    return 0
  fi
  # Without words of ours it is bash that puts in files.
  for word in "${found[@]}"; do
    word=${word%%$'\t'*}
    COMPREPLY+=("${word#"$kept"}")
  done
}

complete -o default -F _ai_vm ai-vm

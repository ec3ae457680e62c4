# Completion for fish: put this file into ~/.config/fish/completions/.
# Verbs and flags are read from the program's own help, names from the registry, so nothing here grows old.

function __ai_vm_verbs
    ai-vm --help 2>/dev/null | sed -n '/^Commands:/,/^$/s/^  \([a-z-]*\)  *\(.*\)/\1\t\2/p'
end

function __ai_vm_flags
    set -l verb (commandline -opc)[2]
    ai-vm $verb --help 2>/dev/null | sed -nE 's/^ +(-[a-zA-Z], )?(--[a-z-]+).*/\2/p'
end

function __ai_vm_verb_is
    set -l words (commandline -opc)
    test (count $words) -ge 2; and contains -- $words[2] $argv; and not contains -- -- $words
end

complete -c ai-vm -n __fish_use_subcommand -f -a '(__ai_vm_verbs)'
complete -c ai-vm -n '__ai_vm_verb_is start stop restart rm ls list info exec claude agents run shell forward logs wait rebuild sync push fetch diff ssh-config proxy' -f -a '(ai-vm ls -q 2>/dev/null)'
complete -c ai-vm -n '__ai_vm_verb_is cp' -F -a '(ai-vm complete-place -- (commandline -ct) 2>/dev/null)'
complete -c ai-vm -n '__ai_vm_verb_is image; and test (count (commandline -opc)) -eq 2' -f -a 'ls build rm prune'
complete -c ai-vm -n '__ai_vm_verb_is image; and test (count (commandline -opc)) -gt 2' -f -a '(ai-vm image ls -q 2>/dev/null)'
complete -c ai-vm -n '__ai_vm_verb_is port; and test (count (commandline -opc)) -eq 2' -f -a 'ls add rm'
complete -c ai-vm -n '__ai_vm_verb_is port; and test (count (commandline -opc)) -gt 2' -f -a '(ai-vm ls -q 2>/dev/null)'
complete -c ai-vm -n '__ai_vm_verb_is share; and test (count (commandline -opc)) -eq 2' -f -a 'ls add rm'
complete -c ai-vm -n '__ai_vm_verb_is share; and test (count (commandline -opc)) -gt 2; and not contains -- (commandline -opc)[-1] --rw --ro' -f -a '(ai-vm ls -q 2>/dev/null)'
complete -c ai-vm -n '__ai_vm_verb_is creds; and test (count (commandline -opc)) -eq 2' -f -a 'status set push pull wipe'
complete -c ai-vm -n '__ai_vm_verb_is creds; and test (count (commandline -opc)) -gt 2' -f -a '(ai-vm ls -q 2>/dev/null)'
complete -c ai-vm -n '__ai_vm_verb_is agents; and test (count (commandline -opc)) -eq 2' -f -a 'attach logs send stop wait'
complete -c ai-vm -n '__ai_vm_verb_is ssh-keys; and test (count (commandline -opc)) -eq 2' -f -a 'show rotate'
complete -c ai-vm -n '__ai_vm_verb_is ssh-keys; and test (count (commandline -opc)) -gt 2' -f -a '(ai-vm ls -q 2>/dev/null)'
complete -c ai-vm -n 'not __fish_use_subcommand; and string match -q -- "-*" (commandline -ct); and not contains -- -- (commandline -opc)' -f -a '(__ai_vm_flags)'

# Completion for fish: put this file into ~/.config/fish/completions/.
# What a word can become is asked of the program, so nothing here grows old.

function __ai_vm_words
    set -l before (commandline -opc)[2..-1]
    set -l typed (commandline -ct)
    set -l found (ai-vm complete-words -- $before "$typed" 2>/dev/null)
    if set -q found[1]
        printf '%s\n' $found
    else if not set -q before[1]; or test $before[1] != cp
        __fish_complete_path "$typed"
    end
end

function __ai_vm_at_a_place
    set -l before (commandline -opc)
    test (count $before) -ge 2; and test $before[2] = cp
    and not contains -- -- $before
    and not string match -q -- '-*' (commandline -ct) $before[-1]
end

complete -c ai-vm -n 'not __ai_vm_at_a_place' -f -a '(__ai_vm_words)'
complete -c ai-vm -n __ai_vm_at_a_place -F -a '(ai-vm complete-place -- (commandline -ct) 2>/dev/null)'

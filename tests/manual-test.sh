#!/usr/bin/env bash
# shellcheck disable=SC2016 # what is to be typed is for the shell that runs it
# What only a person can check: windows, sound, logins, other people's programs, a laptop's lid. Step by step: what it needs,
# what to type, what is to be seen; the answer is yours, and there is a table at the end.
#
#   tests/manual-test.sh              all steps
#   tests/manual-test.sh kvm gtk      those
#   tests/manual-test.sh --list       what there is, without asking
#
# AI_VM=PATH says which ai-vm. Exit code: 0 when nothing failed and nothing was left, 1 when something failed, 3 when it was
# ended before all had an answer. VMs are named manual-..., and `ai-vm rm -f -l manual=yes --yes` removes what is left of them.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

ids=()
declare -A titles=() needs=() types=() sees=()
# step ID TITLE NEEDS TYPE SEE: adds a step.
step() {
  ids+=("$1")
  titles[$1]=$2 needs[$1]=$3 types[$1]=$4 sees[$1]=$5
}

step kvm "A guest under KVM" \
  "a Linux machine with /dev/kvm that is yours to open" \
  'ai-vm doctor
ai-vm up manual-kvm -l manual=yes
ai-vm info manual-kvm' \
  'doctor: "ok accelerator". From the second VM on it is ready in a few seconds. info: "accel: kvm". No word of emulation.'

step nested "KVM in a guest" \
  "the VM of the step kvm, and a host whose kvm module has nested=1" \
  'ai-vm exec manual-kvm -- sh -c "grep -c -E \"vmx|svm\" /proc/cpuinfo"' \
  'One line for each processor of the VM.'

step reboot "The host is rebooted" \
  "a machine that you may reboot, and a VM that runs" \
  'ai-vm ls
sudo reboot' \
  'After the reboot: ai-vm ls says "stopped", ai-vm start brings the VM up on the same ports, its files are there.'

step suspend "The laptop is closed and opened" \
  "a laptop, and the VM of the step kvm; leave it closed for ten minutes" \
  'ai-vm exec manual-kvm -- sleep 30; echo $?
ai-vm exec manual-kvm -- date; date' \
  'Closed while sleep runs: it ends with 0 or 255 and does not hang. Afterwards the second line comes at once, and the two clocks agree within seconds.'

step gtk "A window" \
  "a graphical session, and a QEMU with GTK (Debian: qemu-system-gui)" \
  'ai-vm up manual-gtk -l manual=yes --desktop --resolution 1280x720
ai-vm stop manual-gtk' \
  'A window of 1280x720 with the guest in it; keys and pointer work. It closes when the VM stops. Closing it by hand leaves no VM that ls calls running.'

step viewer "A viewer, by SPICE or VNC" \
  "remote-viewer (Debian: virt-viewer), and no display in the shell that starts the VM" \
  'env -u DISPLAY -u WAYLAND_DISPLAY ai-vm up manual-viewer -l manual=yes --desktop --resolution 1920x1080
ai-vm info manual-viewer
remote-viewer "$(ai-vm info manual-viewer | sed -n "s/^screen: *.remote-viewer \(.*\).$/\1/p")"' \
  'It asks for the password, which is in the file that info names; a wrong one is refused. The screen has 1920x1080. ss -tln shows the port on 127.0.0.1 alone.'

step sound "Sound" \
  "PulseAudio or PipeWire, loudspeakers, and a QEMU that knows it" \
  'ai-vm up manual-sound -l manual=yes --audio
ai-vm exec manual-sound -- sudo sh -c "apt-get -qq update && apt-get -qq install alsa-utils >/dev/null"
ai-vm exec manual-sound -- sudo speaker-test -c 2 -t wav -l 1' \
  'A voice says "front left", "front right", from those sides.'

step microphone "The microphone" \
  "the VM of the step sound, and a microphone" \
  'ai-vm exec manual-sound -- sudo sh -c "arecord -q -d 4 -f cd /tmp/a.wav && aplay -q /tmp/a.wav"' \
  'What is said in the four seconds is heard. The system shows, while it records, that something listens.'

step claude-login "A login of Claude Code, made in the VM" \
  "an account" \
  'ai-vm up manual-claude -l manual=yes
ai-vm claude manual-claude' \
  'No question but the login; /login works, the address that it shows can be opened here; after it an answer comes. Ctrl-] leaves, the same command comes back to it.'

step claude-copy "A copied login" \
  "this machine is logged in (claude works here)" \
  'ai-vm up manual-copy -l manual=yes --share-claude-auth
ai-vm exec manual-copy -- start-claude -p "say hello"
ai-vm creds status
claude -p "say hello"' \
  'An answer from the VM; status: "the newest" here and there; and this machine is still logged in, also ten hours later after ai-vm creds push or pull --update-host.'

step claude-token "A token" \
  "a token of claude setup-token, in the file ./token" \
  'ai-vm up manual-token -l manual=yes
ai-vm creds set manual-token --token - < token
ai-vm run manual-token --count 2 -- "propose a name for a cat"
ai-vm creds wipe manual-token' \
  'Two answers and a table. After wipe, start-claude -p in it ends with 77.'

step vscode "VS Code" \
  "VS Code with Remote-SSH, and the VM of the step kvm" \
  'ai-vm ssh-config --install
code --remote ssh-remote+manual-kvm.ai-vm /home/$USER' \
  'No question about a host key, none for a password. Files, a terminal and the search work; a server in the VM is forwarded. After ai-vm restart manual-kvm it connects again.'

step terminals "Terminals" \
  "each of: tmux, kitty, alacritty, GNOME Terminal, VS Code's" \
  'ai-vm shell manual-kvm
ai-vm claude manual-kvm' \
  'In each: colours, a full screen program (vim, top), its size after the window was resized, Ctrl-C and Ctrl-Z for the guest, pasting of 100 lines, Ctrl-] leaves the session. Afterwards the terminal echoes and has its cursor.'

step colours "Light and dark" \
  "a terminal that can be made light and dark" \
  'ai-vm up manual-kvm
ai-vm exec --all -- uptime
ai-vm exec nobody -- true
NO_COLOR=1 ai-vm exec --all -- uptime' \
  'Everything can be read on both. With NO_COLOR there is no colour. At 40 columns nothing is torn apart.'

step killed "A killed terminal" \
  "a terminal window that can be closed" \
  'ai-vm shell manual-kvm' \
  'Close the window while the shell is open. In another one: ai-vm ls at once, no process of ai-vm but hold-connections is left after ten seconds.'

step network "Another machine" \
  "a second machine in the same network" \
  'ai-vm up manual-bind -l manual=yes --bind 0.0.0.0
ai-vm ls
ai-vm rm -f manual-bind' \
  'ls shows the address. From the second machine the SSH port answers "Permission denied (publickey)". A VM without --bind cannot be reached from there.'

step nix-run "The flake" \
  "Nix with flakes, a network" \
  'nix flake check
nix run . -- up web
nix run . -- exec web -- nixos-version
nix run . -- rm -f web' \
  'All checks pass; a NixOS that answers.'

step nix-vm "A NixOS by itself" \
  "Nix with flakes, a graphical session or none" \
  'nix run .#vm' \
  'It boots to a console that is logged in; nothing of the host but its store is seen; poweroff ends it.'

step nix-rebuild "A NixOS rebuilds itself" \
  "Nix with flakes, KVM; the VM is restarted some times" \
  'ai-vm up manual-nixos -l manual=yes --guest nixos
'"$here"'/manual-nixos-rebuild-test.sh manual-nixos' \
  'It says "all is as it should be".'

step nix-hardening "The hardening of a NixOS" \
  "the VM of the step nix-rebuild" \
  'ai-vm shell manual-nixos --cwd /etc/nixos' \
  'With the module of SECURITY.md in configuration.nix, and a real hash, rebuild goes through; what SECURITY.md says to look at afterwards is so; after ai-vm restart too.'

ai-vm() { command "${AI_VM:-ai-vm}" "$@"; }
export -f ai-vm
show() {
  printf '\n%s: %s\n  needs: %s\n' "$1" "${titles[$1]}" "${needs[$1]}"
  printf '%s\n' "${types[$1]}" | sed 's/^/  $ /'
  printf '  see: %s\n' "${sees[$1]}" | fold -s -w 110 | sed '2,$s/^/       /'
}

declare -A results=() notes=()
table() {
  local id
  printf '\n%-14s %-7s %s\n' STEP RESULT NOTE
  for id in "${chosen[@]}"; do printf '%-14s %-7s %s\n' "$id" "${results[$id]:-open}" "${notes[$id]-}"; done
}
# Asks about a step. Fails when nobody is there to answer, or wants to.
ask() {
  local answer
  while true; do
    printf '  [p]assed, [f]ailed, [s]kip, [r]un it here, [q]uit? '
    read -r answer || return 1
    case $answer in
      p) results[$1]=passed && return ;;
      s) results[$1]=skipped && return ;;
      f)
        results[$1]=failed
        printf '  what was seen? '
        read -r "notes[$1]" || true
        return 0
        ;;
      r) bash -c "${types[$1]}" || printf '  (exit code %s)\n' "$?" ;;
      q) return 1 ;;
    esac
  done
}

chosen=("${ids[@]}")
case ${1-} in
  --list)
    for id in "${ids[@]}"; do show "$id"; done
    exit
    ;;
  -*)
    echo "usage: tests/manual-test.sh [--list | STEP...]" >&2
    exit 2
    ;;
  ?*)
    chosen=("$@")
    for id in "${chosen[@]}"; do
      [[ -n ${titles[$id]-} ]] || {
        echo "\`$id\` is no step; there are: ${ids[*]}" >&2
        exit 2
      }
    done
    ;;
esac

for id in "${chosen[@]}"; do
  show "$id"
  ask "$id" || break
done
table
[[ " ${results[*]-} " != *" failed "* ]] || exit 1
((${#results[@]} == ${#chosen[@]})) || exit 3

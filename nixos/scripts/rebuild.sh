#!/usr/bin/env bash
# Applies the configuration in /etc/nixos to this VM, says what changed and whether a restart is needed.
set -euo pipefail
# A unit that is run for this does not have what a login has.
PATH=$PATH:/run/wrappers/bin:/run/current-system/sw/bin
configuration=${AI_VM_CONFIGURATION:-/etc/nixos}
current=${AI_VM_CURRENT_SYSTEM:-/run/current-system}
booted=${AI_VM_BOOTED_SYSTEM:-/run/booted-system}
profile=${AI_VM_PROFILE:-/nix/var/nix/profiles/system}

say() { printf 'rebuild: %s\n' "$*" >&2; }
usage() {
  cat <<'END'
Usage: rebuild [switch|boot|test|build|dry-build|dry-activate] [OPTION...]

Applies the configuration in /etc/nixos to this VM (`switch` if nothing else is said), says what changed and whether a
restart is needed, and commits what is in /etc/nixos where that is a git repository. Options are those of nixos-rebuild,
and so is the exit code.
END
}

action=switch
case ${1-} in
  switch | boot | test | build | dry-build | dry-activate)
    action=$1
    shift
    ;;
  -h | --help)
    usage
    exit 0
    ;;
  -* | '') ;;
  *)
    say "there is no action \`$1\`"
    usage >&2
    exit 2
    ;;
esac

if ((EUID != 0)) && [[ -z ${AI_VM_NO_SUDO-} ]]; then
  exec sudo -- "$0" "$action" "$@"
fi
if [[ ! -f $configuration/flake.nix ]]; then
  say "there is no $configuration/flake.nix; a copy as it was at first is made by: systemctl start ai-vm-configuration"
  exit 1
fi

# Where the system is that this makes, by action.
system_of() {
  case $action in
    switch | test) readlink -f "$current" ;;
    boot) readlink -f "$profile" ;;
  esac
}
before=$(readlink -f "$current" || true)

# By path, and not as a git repository, in which a new file does not exist until it is added.
code=0
nixos-rebuild "$action" --flake "path:$configuration#vm" "$@" || code=$?

after=$(system_of || true)
if [[ -n $after && $after != "$before" ]]; then
  say "what changed:"
  nix --extra-experimental-features nix-command store diff-closures "$before" "$after" >&2 ||
    say "the two systems could not be compared"
elif [[ -n $after && $code == 0 ]]; then
  say "nothing changed"
fi

if [[ -n $after && -e $booted ]]; then
  changed=()
  for part in kernel initrd kernel-modules; do
    [[ $(readlink -f "$booted/$part" || true) == "$(readlink -f "$after/$part" || true)" ]] || changed+=("$part")
  done
  cmp -s "$booted/kernel-params" "$after/kernel-params" || changed+=("kernel-params")
  if ((${#changed[@]})); then
    say "a restart is needed for: ${changed[*]}"
  elif [[ $action == boot && $after != "$before" ]]; then
    say "a restart is needed: the running system is the one from before"
  else
    say "no restart is needed"
  fi
fi

if ((code != 0)); then
  say "nixos-rebuild failed with exit code $code"
elif [[ -e $configuration/.git && ($action == switch || $action == boot) ]]; then
  who=()
  git -C "$configuration" config user.email >/dev/null || who=(-c user.name=ai-vm -c user.email=ai-vm@localhost)
  if git -C "$configuration" add --all && { git -C "$configuration" diff --cached --quiet ||
    git -C "$configuration" "${who[@]}" commit --quiet --message "$action ${after##*/}"; }; then
    say "$configuration is at commit $(git -C "$configuration" rev-parse --short HEAD)"
  else
    say "warning: what is in $configuration could not be committed"
  fi
fi
exit "$code"

#!/usr/bin/env bash
# Frees room in the store of this VM without touching what is the host's.
#
# nix-collect-garbage would go through the whole store of the host, which it takes for garbage, and hide path after path
# (see clean-overlay). This asks Nix what is garbage and deletes only what this VM has built or downloaded itself.
set -euo pipefail
store=${AI_VM_STORE:-/nix/store}
upper=${AI_VM_UPPER:-/nix/.rw-store/upper}
lower=${AI_VM_LOWER:-/nix/.ro-store}
profile=${AI_VM_PROFILE:-/nix/var/nix/profiles/system}

case ${1-} in
  '') keep=+1 ;;
  -h | --help)
    echo 'Usage: ai-vm-collect-garbage [GENERATIONS]'
    echo 'Deletes generations of the system but the last GENERATIONS (1), and what this VM has built and no longer needs.'
    exit 0
    ;;
  *[!0-9]* | 0)
    echo "ai-vm-collect-garbage: \`$1\` is not a number of generations to keep" >&2
    exit 2
    ;;
  *) keep=+$1 ;;
esac
if ((EUID != 0)) && [[ -z ${AI_VM_NO_SUDO-} ]]; then
  exec sudo -- "$0" "$@"
fi

if [[ -e $profile ]]; then
  nix-env --profile "$profile" --delete-generations "$keep"
fi
dead=()
while IFS= read -r path; do
  name=${path#"$store/"}
  [[ $path == "$store/"* && $name != */* && -e $upper/$name && ! -c $upper/$name && ! -e $lower/$name ]] || continue
  dead+=("$path")
done < <(nix-store --gc --print-dead)
if ((${#dead[@]} == 0)); then
  echo "nothing to delete"
  exit 0
fi
printf '%s\0' "${dead[@]}" | xargs -0 nix-store --delete

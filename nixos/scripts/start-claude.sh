#!/usr/bin/env bash
# Starts Claude Code at full permission: the VM is the sandbox. As the VM's user, because it refuses that to root.
set -euo pipefail
flags=(--dangerously-skip-permissions --permission-mode bypassPermissions)
((EUID == 0)) || exec claude "${flags[@]}" "$@"

user=$(cat /run/ai-vm/user 2>/dev/null || printf '%s' "$AI_VM_USER")
home=$(getent passwd "$user" | cut -d: -f6)
exec runuser -u "$user" -- env HOME="$home" USER="$user" LOGNAME="$user" claude "${flags[@]}" "$@"

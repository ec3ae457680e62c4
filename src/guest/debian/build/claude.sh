#!/bin/sh
# Puts Claude Code and npm into the tree. Usage: claude.sh ROOT none|archive|npm ARCHIVE
set -eu
root=$1
case $2 in
  none) exit 0 ;;
  archive) tar -xf "$3" -C "$root" ;;
  npm)
    chroot "$root" sh -euc '
      cd /tmp && npm pack --silent @anthropic-ai/claude-code-linux-x64 >/dev/null
      tar -xOzf anthropic-ai-claude-code-linux-x64-*.tgz package/claude >/usr/local/bin/claude
      rm -rf anthropic-ai-claude-code-linux-x64-*.tgz /root/.npm
    '
    ;;
esac
chmod 0755 "$root/usr/local/bin/claude"
if ! chroot "$root" claude --version >/dev/null; then
  echo "Claude Code could not be fetched by npm; AI_VM_CLAUDE=0 makes the guest without it" >&2
  exit 1
fi

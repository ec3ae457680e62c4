#!/usr/bin/env bash
# What cannot be tested without Nix and a running NixOS guest: rebuilds a VM in the guest, restarts it, goes back to what it
# was made with and forward again. Usage: tests/manual-nixos-rebuild-test.sh NAME
#
# NAME is a VM with a NixOS guest that runs and that nobody needs for some minutes; it is restarted. Afterwards its
# configuration is as it was. AI_VM=PATH says which ai-vm.
set -euo pipefail
name=${1:?usage: tests/manual-nixos-rebuild-test.sh NAME}
ai_vm=${AI_VM:-ai-vm}
mark=ai-vm-manual-test

step() { printf '== %s\n' "$*"; }
fail() {
  printf 'FAILED: %s\n' "$*" >&2
  exit 1
}
guest() { "$ai_vm" exec "$name" -- "$@"; }
system() { guest readlink -f /run/current-system; }
has_mark() { guest test -e "/etc/$mark"; }

step "the guest is a NixOS with a configuration of its own"
guest test -f /etc/nixos/flake.nix
guest sh -c 'command -v rebuild nixos-rebuild'
before=$(system)
has_mark && fail "/etc/$mark is there before it was made"

restore() {
  step "putting the configuration back"
  guest sudo sh -c 'rm -f /etc/nixos/before-ai-vm-manual-test.nix && cp /var/tmp/configuration.nix.before /etc/nixos/configuration.nix && rebuild' || true
}
guest sudo cp /etc/nixos/configuration.nix /var/tmp/configuration.nix.before
trap restore EXIT

step "a rebuild without a change changes nothing"
guest rebuild 2>&1 | tee /dev/stderr | grep -q 'nothing changed' || fail "the system of the host and that of the guest differ"

step "a rebuild with a change applies it, and says so"
guest sudo sh -c "cd /etc/nixos && cp configuration.nix before-$mark.nix &&
  echo '{ imports = [ ./before-$mark.nix ]; environment.etc.\"$mark\".text = \"yes\"; }' >configuration.nix"
guest rebuild 2>&1 | tee /dev/stderr | grep -q 'restart is needed' || fail "nothing is said about a restart"
has_mark || fail "the change is not there"
after=$(system)
[[ $after != "$before" ]] || fail "the system is the same"

step "it is there after a restart"
"$ai_vm" restart "$name"
[[ $(system) == "$after" ]] || fail "another system was booted: $(system)"
has_mark || fail "the change is gone"

step "--base goes back to what the VM was made with"
"$ai_vm" stop "$name"
"$ai_vm" start "$name" --base
[[ $(system) == "$before" ]] || fail "another system was booted: $(system)"
! has_mark || fail "the change is still there"

step "and without it the rebuilt system is booted again"
"$ai_vm" restart "$name"
[[ $(system) == "$after" ]] || fail "another system was booted: $(system)"

step "a configuration that is wrong fails and changes nothing"
guest sudo sh -c "echo '{ services.opensshd.enable = true; }' >/etc/nixos/configuration.nix"
if guest rebuild; then fail "a wrong configuration was applied"; fi
[[ $(system) == "$after" ]] || fail "the system changed"

echo "all is as it should be"

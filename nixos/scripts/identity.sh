#!/usr/bin/env bash
# Makes this guest the VM that its host says it is, from the credentials given at launch. Runs at every boot before the
# SSH server. Without credentials, as `run-NAME-vm` starts it, the guest has a host key of its own and nothing else.
# The directories can be given by environment, so that this runs elsewhere too.
set -euo pipefail
umask 022
given=${AI_VM_CREDENTIALS:-/run/credentials/@system}
run=${AI_VM_RUN:-/run/ai-vm}
state=${AI_VM_STATE:-/var/lib/ai-vm}
configuration=${AI_VM_CONFIGURATION:-/etc/nixos}

has() { [[ -f $given/$1 ]]; }

mkdir -p "$run/authorized_keys" "$state"

# The user of this launch. One build serves VMs of different users, so that it need not be one of the configuration;
# NixOS keeps users that it does not know (users.mutableUsers).
if has ai-vm.user; then
  user=$(cat "$given/ai-vm.user")
  if ! id "$user" >/dev/null 2>&1; then
    uid=
    has ai-vm.uid && uid=$(cat "$given/ai-vm.uid")
    # A uid that somebody else has here is not worth failing for.
    [[ -z $uid ]] || ! getent passwd "$uid" >/dev/null || uid=
    useradd --create-home --user-group --groups "${AI_VM_GROUPS:-wheel}" ${uid:+--uid "$uid"} \
      --shell "${AI_VM_SHELL:-/run/current-system/sw/bin/bash}" "$user"
  fi
  printf '%s\n' "$user" >"$run/user"
  # What agents of this user run goes on when the last login ends.
  linger=${AI_VM_LINGER:-/var/lib/systemd/linger}
  mkdir -p "$linger"
  [[ -e $linger/$user ]] || : >"$linger/$user"

  # Keys that were changed since QEMU was started, for whose life the credentials stay what they were.
  boot=
  has ai-vm.boot && boot=$(cat "$given/ai-vm.boot")
  keys=$given/ai-vm.authorized_keys
  changed=$state/authorized_keys.$boot
  [[ -z $boot || ! -f $changed ]] || keys=$changed
  for other in "$state"/authorized_keys.*; do
    [[ $other == "$changed" ]] || rm -f "$other"
  done
  [[ ! -f $keys ]] || install -m 0644 "$keys" "$run/authorized_keys/$user"
fi

# The SSH server has this key and no other, so it does not start with one that the host does not know.
if has ai-vm.ssh_host_ed25519_key; then
  install -m 0600 "$given/ai-vm.ssh_host_ed25519_key" "$run/ssh_host_ed25519_key"
else
  own=$state/ssh_host_ed25519_key
  if [[ ! -s $own ]]; then
    # By rename, because a power cut would leave half a key behind.
    rm -f "$own.new" "$own.new.pub"
    ssh-keygen -q -t ed25519 -N '' -C '' -f "$own.new"
    mv "$own.new" "$own"
    rm -f "$own.new.pub"
  fi
  install -m 0600 "$own" "$run/ssh_host_ed25519_key"
fi

# The flake in /etc/nixos answers to the host name, which belongs to the launch, so that `nixos-rebuild` finds it.
hostname=
has system.hostname && hostname=$(cat "$given/system.hostname")
if [[ $hostname =~ ^[A-Za-z0-9-]+$ && -f $configuration/hostname && $(cat "$configuration/hostname") != "$hostname" ]]; then
  printf '%s\n' "$hostname" >"$configuration/hostname"
fi

# Last: whoever can log in and reads this knows that everything above is done.
if has ai-vm.boot; then
  install -m 0444 "$given/ai-vm.boot" "$run/boot"
fi

# `run-NAME-vm`, the product itself, as a person starts it: it boots, lets its key in, listens on loopback alone, keeps its
# disk, and shares what it was told to, read-only where it was told that. In the sandbox, which has its directories in /build.
{ ours, pkgs }:
let
  # The keys that nixpkgs' own tests have; they open nothing else.
  inherit (import (pkgs.path + "/nixos/tests/ssh-keys.nix") pkgs)
    snakeOilPrivateKey
    snakeOilPublicKey
    ;
  vm = ours.makeCustomVM {
    name = "web";
    ram = "2gb";
    storage = "8gb";
    ports = [
      "2299:22"
      3001
    ];
    sharedRW = [ "/build/shared here" ];
    sharedRO = [ "/build/a,readonly=off" ];
    users = [
      {
        name = "dev";
        keys = [ snakeOilPublicKey ];
      }
    ];
  };
in
pkgs.runCommand "ai-vm-start-script-test"
  {
    requiredSystemFeatures = [ "kvm" ];
    nativeBuildInputs = [
      pkgs.iproute2
      pkgs.jq
      pkgs.openssh
    ];
  }
  ''
    mkdir -p "/build/shared here" "/build/a,readonly=off"
    echo from the host >"/build/a,readonly=off/file"
    install -m 0600 ${snakeOilPrivateKey} key
    guest() {
      ssh -p 2299 -i key -o StrictHostKeyChecking=no -o UserKnownHostsFile=known_hosts -o ConnectTimeout=5 dev@127.0.0.1 "$@"
    }
    up() {
      ${vm}/bin/run-web-vm >console.log 2>&1 &
      qemu=$!
      for _ in $(seq 120); do
        guest true 2>/dev/null && return
        kill -0 "$qemu" || break
        sleep 1
      done
      cat console.log
      exit 1
    }
    down() {
      guest sudo poweroff || true
      wait "$qemu"
    }

    up
    test "$(guest hostname)" = web
    test "$(guest cat '"/mnt/host-ro/a,readonly=off/file"')" = "from the host"
    guest "sudo mount -o remount,rw '/mnt/host-ro/a,readonly=off'; ! sudo touch '/mnt/host-ro/a,readonly=off/written'"
    guest "sudo sh -c 'echo from the guest >\"/mnt/host-rw/shared here/file\"'"
    grep -x "from the guest" "/build/shared here/file"
    ! test -e "/build/a,readonly=off/written"
    test "$(ss -Htln | grep -c ':2299\|:3001')" = 2
    ! ss -Htln | grep ':2299\|:3001' | grep -v '127.0.0.1:'
    guest touch kept
    down

    # The disk is kept, and so is the host key: a changed one would be refused.
    up
    guest test -e kept
    down

    jq -e '.schema == 1 and .family == "nixos" and .store.kind == "host"' ${vm}/manifest.json
    for key in kernel initrd; do test -s "$(jq -r ".$key" ${vm}/manifest.json)"; done
    mv console.log "$out"
  ''

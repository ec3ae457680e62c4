# The network is QEMU's user network: the guest reaches out, and nothing reaches it but what the host forwards.
#
# The firewall can therefore add nothing for ports that ai-vm forwards at launch: which ones these are is not known here,
# and there is no other way in. Where `ports` is given at build, the firewall has exactly these, so that a service which is
# not meant to be reached is not, even if somebody adds a forward later.
{ config, lib, ... }:
let
  vm = config.ai-vm;
  inherit (import ../lib { inherit lib; }) port;
  known = vm.ports != null;
  forwards = if known then vm.ports else port.defaults;
in
{
  networking = {
    useDHCP = true;
    # There is one server, it is QEMU, and it answers at once: nobody needs to wait for it.
    dhcpcd.wait = "background";
    firewall = {
      enable = true;
      allowedTCPPorts = lib.optionals known (map (forward: forward.guest) vm.ports);
      # qemu-vm.nix names interfaces as the kernel does.
      trustedInterfaces = lib.optionals (!known) [ "eth0" ];
    };
  };

  # For `run-NAME-vm`. Without an address QEMU would listen on all of them.
  virtualisation.forwardPorts = map (forward: {
    from = "host";
    host.address = "127.0.0.1";
    host.port = forward.host;
    guest.port = forward.guest;
  }) forwards;
}

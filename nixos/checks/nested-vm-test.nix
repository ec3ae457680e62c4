# A virtual machine in a virtual machine: the guest runs one of its own, whose kernel says its first words.
{ ours, self, ... }:
let
  inner = ours.makeCustomVM {
    name = "inner";
    ram = "1gb";
    storage = "4gb";
    ports = [ "2299:22" ];
  };
in
{
  name = "ai-vm-nested-vm";

  nodes.outer = {
    imports = [ self.nixosModules.default ];
    ai-vm = {
      name = "outer";
      ram = "4gb";
      cpu = 2;
      nested = true;
    };
    virtualisation.additionalPaths = [ inner ];
  };

  testScript = ''
    outer.wait_for_unit("multi-user.target")
    outer.succeed("id -nG dev | grep -w kvm")
    outer.succeed("command -v qemu-system-x86_64")
    outer.succeed("test -e /dev/kvm || ! grep -qE 'vmx|svm' /proc/cpuinfo")
    outer.succeed(
        "cd /home/dev && sudo -u dev sh -c '${inner}/bin/run-inner-vm </dev/null >console.log 2>&1 &'"
    )
    # QEMU accepts before a guest is there, so what counts is what its server says.
    outer.wait_until_succeeds(
        "timeout 5 bash -c 'exec 3<>/dev/tcp/127.0.0.1/2299; head -c 7 <&3' | grep -x SSH-2.0", timeout=900
    )
  '';
}

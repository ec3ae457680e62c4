# ai-vm writes this file, as it is, beside a vm.json and builds it. Everything that differs between VMs is data.
{
  description = "A virtual machine of ai-vm";

  # Always overridden (`--override-input ai-vm REF`): nothing is to be fetched from a place that nobody named.
  inputs.ai-vm.url = "path:/var/empty/ai-vm";

  outputs =
    { ai-vm, ... }:
    let
      system = "x86_64-linux";
      spec = builtins.fromJSON (builtins.readFile ./vm.json);
    in
    {
      packages.${system}.default =
        if !(spec ? schema) then
          throw "ai-vm: vm.json does not say which schema it has"
        else if spec ? modules then
          # They would be files that are evaluated, which data must not bring about.
          throw "ai-vm: vm.json has modules; put them into a flake of your own"
        else
          ai-vm.lib.${system}.makeCustomVM spec;
    };
}

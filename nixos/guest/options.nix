# What this VM is: the same data that `makeCustomVM` takes and that vm.json holds. One reader checks it (lib/spec.nix),
# whichever way it came, so that there is one list of what there is and one wording of what is wrong.
{ lib, ... }:
let
  inherit (import ../lib { inherit lib; }) spec;
in
{
  options.ai-vm = lib.mkOption {
    # Each key is a definition by itself, so that configuration.nix can say `ai-vm.audio = true;` over vm.json.
    type = lib.types.attrsOf lib.types.raw;
    default = { };
    apply = spec.normalise;
    description = "What this VM is to be; the keys are those of `makeCustomVM`.";
  };
}

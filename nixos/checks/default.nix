# `nix flake check`: what script/test evaluates without Nix's packages, and NixOS machines for what only they can show. The
# machines want KVM in the sandbox; each check can be built alone, for example `nix build .#checks.x86_64-linux.unit-test`.
{
  self,
  nixpkgs,
  pkgs,
}:
let
  inherit (pkgs) lib;
  ours = self.lib.${pkgs.stdenv.hostPlatform.system};

  # By nixpkgs' own function and not by pkgs.testers: its machines would share our packages, and could not have their own
  # `nixpkgs.config`, which the guest's modules set.
  machines =
    file:
    nixpkgs.lib.nixos.runTest {
      imports = [ file ];
      hostPkgs = pkgs;
      _module.args = {
        inherit nixpkgs ours self;
      };
    };

  evaluated = {
    unit = import ../../tests/nixos/unit.nix { inherit lib; };
    refusals = import ../../tests/nixos/refusals.nix { inherit lib; };
  };
  allTrue =
    value: if builtins.isAttrs value then lib.all allTrue (lib.attrValues value) else value != false;
in
{
  package = self.packages.${pkgs.stdenv.hostPlatform.system}.ai-vm;

  unit-test =
    if evaluated.unit.failed != [ ] then
      throw "unit tests fail: ${builtins.toJSON evaluated.unit.failed}"
    else if !(allTrue evaluated.refusals) then
      throw "something wrong is accepted: ${builtins.toJSON evaluated.refusals}"
    else
      pkgs.runCommand "ai-vm-unit-test" { } ''
        echo ${toString evaluated.unit.count} tests, ${toString evaluated.refusals.options} options >"$out"
      '';

  format = pkgs.runCommand "ai-vm-format" { nativeBuildInputs = [ pkgs.nixfmt ]; } ''
    find ${self} -name '*.nix' -exec nixfmt --check {} + && touch "$out"
  '';

  integration-test = machines ./integration-test.nix;
  nixos-rebuild-test = machines ./nixos-rebuild-test.nix;
  start-script-test = import ./start-script-test.nix { inherit ours pkgs; };
  nested-vm-test = machines ./nested-vm-test.nix;
}

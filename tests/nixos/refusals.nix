# The harness has to notice what is wrong, or it would prove nothing: options that nobody has, that were renamed, that get
# a value of another type, and qemu-vm.nix's where it is not imported. True where a module was refused.
{ lib }:
let
  guest = import ./guest.nix { inherit lib; };
  ours = import ../../nixos {
    inherit (guest) nixpkgs;
    system = "x86_64-linux";
  };
  refused =
    evaluated: !(builtins.tryEval (builtins.deepSeq (guest.settingsOf evaluated) null)).success;
  alone = module: refused (guest.evaluate [ module ]);
  inGuest = module: refused (ours.makeCustomVM { modules = [ module ]; });
  fails =
    module:
    let
      failures = guest.failures (ours.makeCustomVM { modules = [ module ]; });
    in
    lib.length failures == 1 && lib.hasInfix "ai-vm-collect-garbage" (lib.head failures);

  wrong = {
    "unknown option" = {
      services.opensshd.enable = true;
    };
    "unknown option of a submodule" = {
      systemd.services.x.wantedby = [ ];
    };
    "unknown option of a user" = {
      users.users.dev.extraGroup = [ "wheel" ];
    };
    "unknown option of a file system" = {
      virtualisation.fileSystems."/x".readOnly = true;
    };
    "unknown option under a condition that does not hold" = lib.mkIf false {
      services.opensshd.enable = true;
    };
    "wrong type" = {
      networking.firewall.enable = "yes";
    };
    "wrong type in a list" = {
      networking.firewall.allowedTCPPorts = [ "80" ];
    };
    "port out of range" = {
      networking.firewall.allowedTCPPorts = [ 65536 ];
    };
    "value that is none of a few" = {
      networking.dhcpcd.wait = "forever";
    };
    "two values for one option" = {
      services.getty.autologinUser = "somebody";
    };
    "wrong key of the VM" = {
      ai-vm.overaly = true;
    };
    "wrong value of the VM" = {
      ai-vm.ram = "8kb";
    };
  };
in
{
  inGuest = lib.mapAttrs (_: inGuest) wrong;
  # Every name that was renamed, set to what it may have been.
  renamed = lib.genAttrs guest.declared.renamed (
    path: alone (lib.setAttrByPath (lib.splitString "." path) true)
  );
  withoutQemu = alone { virtualisation.memorySize = 1024; };
  # What is right passes the same way.
  right = {
    alone = !(alone { networking.firewall.enable = false; });
    inGuest = !(inGuest { environment.variables.EDITOR = "vim"; });
    # configuration.nix goes before vm.json.
    goesBefore =
      (ours.makeCustomVM {
        audio = false;
        modules = [ { ai-vm.audio = true; } ];
      }).config.services.pipewire.enable;
  };
  # Collecting garbage would hide the host's store, so it is an assertion that fails.
  assertions = lib.genAttrs [ "gc" "optimise" ] (key: fails { nix.${key}.automatic = true; }) // {
    settings = fails { nix.settings.auto-optimise-store = true; };
  };
  options = guest.declared.count;
}

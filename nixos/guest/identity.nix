# Who this VM is: host name, machine id, user, keys. One build serves many VMs, so none of it is built in; it comes as
# systemd credentials at launch, of which systemd itself takes host name and machine id.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  vm = config.ai-vm;
  inherit (import ../lib { inherit lib; }) text;
  program = import ./program.nix { inherit pkgs; };
  unit = "ai-vm-identity";
in
{
  # A fixed host name, even the default, goes before the credential.
  networking.hostName = "";
  # It names the run script, which the host name would do otherwise.
  system.name = vm.name;

  # `run-NAME-vm` says it itself. It is checked to be a plain name (lib/spec.nix).
  virtualisation.qemu.options = [
    "-smbios type=11,value=io.systemd.credential:system.hostname=${text.hostName vm.name}"
  ];

  systemd.services.${unit} = {
    description = "Identity of this VM";
    wantedBy = [ "multi-user.target" ];
    before = [
      "sshd.service"
      "getty.target"
      # It looks who lingers when it starts.
      "systemd-logind.service"
    ];
    # A rebuild does not change who this is; the credentials are those of the launch.
    restartIfChanged = false;
    serviceConfig = {
      Type = "oneshot";
      RemainAfterExit = true;
      ExecStart = "${
        program {
          name = unit;
          script = "identity";
          inputs = [
            pkgs.coreutils
            pkgs.getent
            pkgs.openssh
            pkgs.shadow
          ];
          # Those of the users of the configuration.
          environment.AI_VM_GROUPS = "wheel,kvm";
        }
      }/bin/${unit}";
    };
  };

  # Not with a key of its own making: the host would take it for another machine, rightly.
  systemd.services.sshd = {
    requires = [ "${unit}.service" ];
    after = [ "${unit}.service" ];
  };
}

# The people in the VM. Nothing is defended inside: the VM is the sandbox, so they are as good as root, and the consoles
# log in by themselves, because whoever reaches a console of a VM owns the VM anyway.
{ config, lib, ... }:
let
  vm = config.ai-vm;
  first = lib.head vm.users;
  person = user: {
    inherit (user) name;
    value = {
      isNormalUser = true;
      uid = lib.mkIf (user.uid != null) user.uid;
      extraGroups = [
        "wheel"
        "kvm"
      ];
      openssh.authorizedKeys.keys = user.keys;
      # What agents run goes on when the last login ends.
      linger = true;
      hashedPassword = lib.mkIf vm.allowEmptyPasswords "";
    };
  };
in
{
  users = {
    users = lib.listToAttrs (map person vm.users);
    # Users of a launch that the configuration does not have are made by the identity unit, and stay.
    mutableUsers = true;
    # Keys come at launch, so nothing in the configuration lets anybody in.
    allowNoPasswordLogin = true;
  };

  security.sudo.wheelNeedsPassword = false;

  services.getty.autologinUser = first.name;

  # Programs that agents install for themselves.
  environment.localBinInPath = true;
}

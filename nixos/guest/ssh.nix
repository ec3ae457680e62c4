# The SSH server. By key only: the keys of the launch (identity.nix), those of the configuration, those that the user adds.
{ config, lib, ... }:
let
  open = config.ai-vm.allowEmptyPasswords;
in
{
  services.openssh = {
    enable = true;
    # The firewall is asked in networking.nix, which knows whether 22 is forwarded.
    openFirewall = false;
    # The one key that the host has pinned, put there before the server starts.
    generateHostKeys = false;
    hostKeys = [
      {
        path = "/run/ai-vm/ssh_host_ed25519_key";
        type = "ed25519";
      }
    ];
    authorizedKeysFiles = [ "/run/ai-vm/authorized_keys/%u" ];
    settings = {
      # `allowEmptyPasswords` lets in whoever reaches the port, which is every program and user of the host. That is how
      # images that need no keys at all have always worked, and why it is off unless asked for.
      PasswordAuthentication = open;
      PermitEmptyPasswords = open;
      KbdInteractiveAuthentication = false;
      PermitRootLogin = "no";
      # The host makes many short connections at once and must never be made to wait for them.
      MaxSessions = 100;
      MaxStartups = "200:30:400";
      PerSourcePenalties = false;
      PrintLastLog = false;
      AcceptEnv = [
        "LANG"
        "LC_*"
        "COLORTERM"
      ];
    };
  };

  security.pam.services.sshd = lib.mkIf open { allowNullPassword = true; };
}

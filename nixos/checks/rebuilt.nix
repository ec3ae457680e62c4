# What nixos-rebuild-test.nix changes in the guest: a service, a file, and the way for the test to go on talking to it.
{ modulesPath, pkgs, ... }:
{
  imports = [ (modulesPath + "/testing/test-instrumentation.nix") ];

  environment.etc."rebuilt".text = "yes";
  environment.systemPackages = [ pkgs.hello ];
}

# A script of ../scripts as a program of the guest, with the tools that it uses and the settings that it gets.
{ pkgs }:
{
  name,
  script ? name,
  inputs ? [ ],
  environment ? { },
}:
pkgs.writeShellApplication {
  inherit name;
  runtimeInputs = inputs;
  runtimeEnv = environment;
  # The scripts say themselves what they want of the shell.
  bashOptions = [ ];
  # script/test runs shellcheck. Here it would be one more thing, and a large one, that a rebuild without network needs.
  checkPhase = "";
  text = builtins.readFile (../scripts + "/${script}.sh");
}

# Forwarded TCP ports.
{ lib }:
let
  inherit (import ./text.nix { inherit lib; }) show;

  # What is forwarded where nothing is said, as by the command line: SSH, and two ports for what agents serve.
  defaults = [
    {
      host = 2222;
      guest = 22;
    }
    {
      host = 3001;
      guest = 3001;
    }
    {
      host = 9080;
      guest = 9080;
    }
  ];

  readNumber =
    given: value:
    let
      digits = if builtins.isString value then builtins.match "0*([0-9]{1,5})" value else null;
      number = if digits == null then value else builtins.fromJSON (lib.head digits);
    in
    if builtins.isInt number && number >= 1 && number <= 65535 then
      number
    else
      throw "ai-vm: ${show given} is not a port to forward; write 8080, \"8080:80\" or { host = 8080; guest = 80; }";

  readPort =
    given:
    let
      number = readNumber given;
      parts = if builtins.isString given then lib.splitString ":" given else [ given ];
    in
    if
      builtins.isAttrs given
      &&
        lib.attrNames given == [
          "guest"
          "host"
        ]
    then
      {
        host = number given.host;
        guest = number given.guest;
      }
    else if lib.length parts == 2 then
      {
        host = number (lib.head parts);
        guest = number (lib.elemAt parts 1);
      }
    else
      {
        host = number given;
        guest = number given;
      };
in
{
  inherit defaults;

  # Null stays null: ports that are chosen at launch. A list is all that there is.
  readPorts =
    given:
    let
      ports = map readPort given;
      hosts = map (port: port.host) ports;
      twice = lib.filter (host: lib.length (lib.filter (other: other == host) hosts) > 1) hosts;
    in
    if given == null then
      null
    else if !builtins.isList given then
      throw "ai-vm: `ports` is a list of ports, not ${show given}"
    else if twice != [ ] then
      throw "ai-vm: the host's port ${toString (lib.head twice)} is forwarded twice"
    else
      ports;
}

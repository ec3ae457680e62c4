# The people of a VM.
{ lib }:
let
  text = import ./text.nix { inherit lib; };
  inherit (text) show;

  readName =
    name:
    if
      builtins.isString name && builtins.match "[a-z_][a-z0-9_-]{0,30}" name != null && name != "root"
    then
      name
    else
      throw "ai-vm: ${show name} is not a name for a user; use lower-case letters, digits, `-` and `_`, at most 31, and not root";

  # Ids of people; those below and above belong to the system, to containers and to units.
  readUid =
    uid:
    if uid == null || builtins.isInt uid && uid >= 1000 && uid < 60000 then
      uid
    else
      throw "ai-vm: ${show uid} is not the id of a person, which is from 1000 to 59999";

  readKey =
    key:
    if builtins.isString key && key != "" && !text.hasControls key then
      key
    else
      throw "ai-vm: ${show key} is not a public key on one line";

  readUser =
    given:
    let
      user = if builtins.isString given then { name = given; } else given;
      unknown = lib.attrNames (
        removeAttrs user [
          "name"
          "uid"
          "keys"
        ]
      );
      keys = user.keys or [ ];
    in
    if !builtins.isAttrs user || !(user ? name) then
      throw "ai-vm: ${show given} is not a user; write \"dev\" or { name = \"dev\"; uid = 1000; keys = [ ]; }"
    else if unknown != [ ] then
      throw "ai-vm: a user has a name, a uid and keys, but no ${show (lib.head unknown)}"
    else if !builtins.isList keys then
      throw "ai-vm: the keys of a user are a list, not ${show keys}"
    else
      {
        name = readName user.name;
        uid = readUid (user.uid or null);
        keys = map readKey keys;
      };
in
{
  # At least one user, no name twice. The first one is who the consoles log in.
  readUsers =
    given:
    let
      users = map readUser given;
      names = map (user: user.name) users;
      twice = lib.filter (name: lib.length (lib.filter (other: other == name) names) > 1) names;
    in
    if !builtins.isList given || given == [ ] then
      throw "ai-vm: `users` is a list of at least one user, not ${show given}"
    else if twice != [ ] then
      throw "ai-vm: the user ${show (lib.head twice)} is there twice"
    else
      users;
}

# Texts from outside: what they may hold, and how they go where they are no longer only a text.
{ lib }:
let
  # Without a range in the pattern, whose meaning is the locale's.
  letters = lib.stringToCharacters "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  digits = lib.stringToCharacters "0123456789";
  setOf =
    characters:
    lib.listToAttrs (
      map (character: {
        name = character;
        value = true;
      }) characters
    );
  plain = setOf (
    letters
    ++ digits
    ++ [
      "."
      "-"
      "_"
    ]
  );
in
{
  # A value as it may stand in a message: quoted, on one line.
  show = builtins.toJSON;

  # Everything but letters, digits, `.`, `-` and `_` becomes `_`, byte by byte.
  sanitize =
    text:
    lib.concatMapStrings (character: if plain ? ${character} then character else "_") (
      lib.stringToCharacters text
    );

  # The first line of a file's content.
  firstLine = content: lib.head (lib.splitString "\n" content);

  # The host name of a VM: lower case, `_` as `-`, no `-` at the end, as the command line has it.
  hostName =
    name:
    let
      lowered = lib.replaceStrings [ "_" ] [ "-" ] (lib.toLower name);
    in
    lib.head (builtins.match "(.*[^-])-*" lowered);

  # Tells whether a text has control characters, which nothing that is named here may have.
  hasControls =
    text: builtins.match ".*[[:cntrl:]].*" (lib.replaceStrings [ "\n" ] [ "\t" ] text) != null;

  # A value inside QEMU's comma-separated options, where only a comma has a meaning.
  qemuValue = lib.replaceStrings [ "," ] [ ",," ];
}

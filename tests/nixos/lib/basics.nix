# Lists, attribute sets and strings.
let
  inherit (builtins)
    elem
    elemAt
    filter
    foldl'
    genList
    isString
    length
    mapAttrs
    stringLength
    substring
    ;
in
rec {
  inherit (builtins)
    all
    any
    attrNames
    attrValues
    concatLists
    concatMap
    concatStringsSep
    elem
    elemAt
    filter
    foldl'
    genList
    head
    isAttrs
    isBool
    isFunction
    isInt
    isList
    isString
    length
    listToAttrs
    mapAttrs
    replaceStrings
    stringLength
    substring
    tail
    ;

  optional = condition: value: if condition then [ value ] else [ ];
  optionals = condition: values: if condition then values else [ ];
  optionalString = condition: text: if condition then text else "";
  optionalAttrs = condition: attrs: if condition then attrs else { };

  last = list: elemAt list (length list - 1);
  unique = foldl' (seen: item: if elem item seen then seen else seen ++ [ item ]) [ ];

  reverseList = list: genList (index: elemAt list (length list - index - 1)) (length list);
  imap = f: list: genList (index: f index (elemAt list index)) (length list);

  nameValuePair = name: value: { inherit name value; };
  genAttrs = names: f: builtins.listToAttrs (map (name: nameValuePair name (f name)) names);
  filterAttrs =
    keep: attrs: removeAttrs attrs (filter (name: !keep name attrs.${name}) (builtins.attrNames attrs));
  mapAttrsToList = f: attrs: map (name: f name attrs.${name}) (builtins.attrNames attrs);
  setAttrByPath =
    path: value:
    if path == [ ] then
      value
    else
      { ${builtins.head path} = setAttrByPath (builtins.tail path) value; };
  recursiveUpdate =
    left: right:
    if builtins.isAttrs left && builtins.isAttrs right then
      left
      // mapAttrs (
        name: value: if left ? ${name} then recursiveUpdate left.${name} value else value
      ) right
    else
      right;
  collect =
    wanted: attrs:
    if wanted attrs then
      [ attrs ]
    else if builtins.isAttrs attrs then
      builtins.concatMap (collect wanted) (builtins.attrValues attrs)
    else
      [ ];
  isDerivation = value: value.type or null == "derivation";

  stringToCharacters = text: genList (index: substring index 1 text) (stringLength text);
  concatStrings = builtins.concatStringsSep "";
  concatMapStrings = f: list: concatStrings (map f list);
  concatMapStringsSep =
    separator: f: list:
    builtins.concatStringsSep separator (map f list);
  hasPrefix = prefix: text: substring 0 (stringLength prefix) text == prefix;
  hasSuffix =
    suffix: text:
    let
      rest = stringLength text - stringLength suffix;
    in
    rest >= 0 && substring rest (stringLength suffix) text == suffix;
  hasInfix = part: text: builtins.replaceStrings [ part ] [ "" ] text != text;
  removePrefix =
    prefix: text:
    if hasPrefix prefix text then substring (stringLength prefix) (stringLength text) text else text;
  removeSuffix =
    suffix: text:
    if hasSuffix suffix text then substring 0 (stringLength text - stringLength suffix) text else text;
  # Of one character, which is all that is used.
  splitString = separator: text: filter isString (builtins.split "[${separator}]" text);
  toLower = builtins.replaceStrings (stringToCharacters "ABCDEFGHIJKLMNOPQRSTUVWXYZ") (
    stringToCharacters "abcdefghijklmnopqrstuvwxyz"
  );
  escapeShellArg =
    text:
    if builtins.match "[[:alnum:],._+:@%/-]+" text != null then
      text
    else
      "'${builtins.replaceStrings [ "'" ] [ "'\\''" ] text}'";
  showOption = builtins.concatStringsSep ".";
}

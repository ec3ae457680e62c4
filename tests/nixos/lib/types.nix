# Types: what is one, and what several definitions make together.
{ lib }:
let
  inherit (builtins)
    all
    concatMap
    head
    isAttrs
    isInt
    isList
    isString
    length
    tail
    ;

  # Several definitions have to say the same.
  equal =
    loc: defs:
    if all (def: def.value == (head defs).value) (tail defs) then
      (head defs).value
    else
      throw "The option `${lib.showOption loc}' has conflicting definition values.";

  # There can be only one.
  one =
    loc: defs:
    if length defs == 1 then
      (head defs).value
    else
      throw "The option `${lib.showOption loc}' is defined several times.";

  simple = name: check: {
    inherit name check;
    merge = equal;
  };
  isPathLike =
    value:
    builtins.isPath value || (isString value || lib.isDerivation value) && lib.hasPrefix "/" "${value}";
in
rec {
  bool = simple "boolean" builtins.isBool;
  int = simple "signed integer" isInt;
  str = simple "string" isString;
  singleLineStr = simple "(optionally newline-terminated) single-line string" (
    value: isString value && !lib.hasInfix "\n" (lib.removeSuffix "\n" value)
  );
  nonEmptyStr = simple "non-empty string" (
    value: isString value && builtins.match "[ \t\n]*" value == null
  );
  port = simple "16 bit unsigned integer" (value: isInt value && value >= 0 && value <= 65535);
  ints = {
    positive = simple "positive integer" (value: isInt value && value > 0);
    unsigned = simple "unsigned integer" (value: isInt value && value >= 0);
  };
  enum = values: simple "one of a few" (value: lib.elem value values);
  path = simple "absolute path" isPathLike;
  package =
    simple "package" (
      value: lib.isDerivation value || isString value && lib.hasPrefix builtins.storeDir value
    )
    // {
      merge = one;
    };
  raw = {
    name = "raw value";
    check = _: true;
    merge = one;
  };
  lines = str // {
    name = "strings concatenated with \"\\n\"";
    merge = _: defs: lib.concatMapStringsSep "\n" (def: def.value) defs;
  };
  attrs = {
    name = "attribute set";
    check = isAttrs;
    merge = _: lib.foldl' (merged: def: merged // def.value) { };
  };

  # Sets are merged, everything else has to be the same.
  anything = {
    name = "anything";
    check = _: true;
    merge =
      loc: defs:
      if all (def: isAttrs def.value && !lib.isDerivation def.value) defs then
        (attrsOf anything).merge loc defs
      else
        equal loc defs;
  };

  attrsOf = elemType: {
    name = "attribute set of ${elemType.name}";
    inherit elemType;
    check = isAttrs;
    merge =
      loc: defs:
      let
        pushed = concatMap (def: lib.pushDown { inherit (def) file value; }) defs;
        names = lib.unique (concatMap (def: lib.attrNames def.value) pushed);
        merged = lib.genAttrs names (
          name: lib.mergeDefs (loc ++ [ name ]) elemType (lib.below name pushed)
        );
      in
      lib.mapAttrs (_: element: element.value) (lib.filterAttrs (_: element: element.defined) merged);
  };

  listOf = elemType: {
    name = "list of ${elemType.name}";
    inherit elemType;
    check = isList;
    merge =
      loc: defs:
      let
        element =
          def: value:
          lib.mergeDefs (loc ++ [ "*" ]) elemType [
            {
              inherit (def) file;
              inherit value;
            }
          ];
        elements = concatMap (def: map (element def) def.value) defs;
      in
      map (merged: merged.value) (lib.filter (merged: merged.defined) elements);
  };

  nullOr = type: {
    name = "null or ${type.name}";
    check = value: value == null || type.check value;
    merge = loc: defs: if all (def: def.value == null) defs then null else type.merge loc defs;
  };

  either = left: right: {
    name = "${left.name} or ${right.name}";
    check = value: left.check value || right.check value;
    merge =
      loc: defs:
      if all (def: left.check def.value) defs then left.merge loc defs else right.merge loc defs;
  };

  submodule = module: {
    name = "submodule";
    check = value: isAttrs value || builtins.isFunction value;
    merge =
      loc: defs:
      (lib.evalModules {
        prefix = loc;
        specialArgs.name = lib.last loc;
        modules = [
          module
        ]
        ++ map (def: {
          _file = def.file;
          config = def.value;
        }) defs;
      }).config;
  };
}

# options.json, which lists what options nixpkgs has, as modules that declare them with their types. A name that was
# renamed or removed is declared by nobody, so that setting it is an error here, as it becomes one in nixpkgs.
{ lib }:
let
  t = lib.types;
  data = removeAttrs (builtins.fromJSON (builtins.readFile ./options.json)) [ "_source" ];

  atoms = {
    inherit (t)
      anything
      attrs
      bool
      int
      lines
      nonEmptyStr
      package
      path
      port
      raw
      singleLineStr
      str
      ;
    "ints.positive" = t.ints.positive;
    "ints.unsigned" = t.ints.unsigned;
    pkgs = t.raw;
    overlay = t.raw;
    unitOption = t.anything;
    freeform = t.anything;
    boolSet = t.either (t.listOf t.str) (t.attrsOf t.bool);
  };

  free = t.attrsOf t.anything;

  # The arguments in `A,B(C,D)`: `A` and `B(C,D)`.
  splitArguments =
    text:
    let
      step =
        state: character:
        if character == "," && state.depth == 0 then
          {
            depth = 0;
            done = state.done ++ [ state.current ];
            current = "";
          }
        else
          {
            depth =
              state.depth
              + (
                if character == "(" then
                  1
                else if character == ")" then
                  -1
                else
                  0
              );
            inherit (state) done;
            current = state.current + character;
          };
      end = lib.foldl' step {
        depth = 0;
        done = [ ];
        current = "";
      } (lib.stringToCharacters text);
    in
    end.done ++ [ end.current ];

  # The type of a notation; `inner` is the module of the submodules in it.
  typeOf =
    inner: text:
    let
      call = builtins.match "([A-Za-z]+)\\((.*)\\)" text;
      arguments = lib.elemAt call 1;
      parts = map (typeOf inner) (splitArguments arguments);
      constructors = {
        attrsOf = t.attrsOf (lib.head parts);
        listOf = t.listOf (lib.head parts);
        nullOr = t.nullOr (lib.head parts);
        either = t.either (lib.head parts) (lib.elemAt parts 1);
        coerced = t.either (lib.head parts) (lib.elemAt parts 1);
        enum = t.enum (builtins.fromJSON "[${arguments}]");
      };
    in
    if call != null then
      constructors.${lib.head call}
    else if text == "submodule" then
      t.submodule (if inner == null then { freeformType = free; } else inner)
    else if text == "submodule_freeform" then
      t.submodule {
        imports = lib.optional (inner != null) inner;
        freeformType = free;
      }
    else
      atoms.${text};

  isHole = name: name == "<name>" || name == "*";

  # Paths as a tree: `option` is what is known of the option there, `below` is what its path is the start of.
  treeOf =
    paths:
    let
      insert =
        tree: path:
        lib.recursiveUpdate tree (
          lib.setAttrByPath (
            lib.concatMap (part: [
              "below"
              part
            ]) (lib.splitString "." path)
            ++ [ "option" ]
          ) data.${path}
        );
    in
    lib.foldl' insert { } paths;

  # Where the options of the submodules of a node are: below holes, if it has some, else directly.
  submoduleOf =
    node:
    let
      below = node.below or { };
      holes = lib.filter isHole (lib.attrNames below);
      hole = below.${lib.head holes};
    in
    if holes == [ ] then
      node
    else if hole ? option then
      hole
    else
      submoduleOf hole;

  declare =
    node:
    lib.mapAttrs
      (
        _: child:
        let
          source = submoduleOf child;
          inner = if source.below or { } == { } then null else { options = declare source; };
          type = typeOf inner child.option.type;
        in
        if !(child ? option) then
          declare child
        else if child.option ? default then
          lib.mkOption {
            inherit type;
            inherit (child.option) default;
          }
        else
          # A default that is not known must not keep a submodule from being looked at as a whole.
          lib.mkOption {
            type = t.nullOr type;
            default = null;
          }
      )
      (
        removeAttrs node.below [
          "<name>"
          "*"
        ]
      );

  fromQemu =
    path:
    builtins.match
      ".*virtualisation/(qemu-vm|disk-size-option|guest-networking-options|credentials-options)\\.nix"
      (data.${path}.file or "") != null;
  live = lib.filter (path: !(data.${path}.removed or false) && !(lib.hasInfix "vmVariant" path)) (
    lib.attrNames data
  );

  base = treeOf (lib.filter (path: !(fromQemu path)) live);
  # Units of the initial RAM disk are units.
  withInitrd = lib.recursiveUpdate base {
    below.boot.below.initrd.below.systemd.below.services.below =
      base.below.systemd.below.services.below;
  };
in
{
  # Every option that a configuration has, and those that are there where qemu-vm.nix is imported.
  base = {
    _file = "options.json";
    options = declare withInitrd;
  };
  qemu = {
    _file = "options.json";
    key = "options of qemu-vm.nix";
    options = declare (treeOf (lib.filter fromQemu live));
  };

  # For the tests of these tests.
  count = lib.length live;
  renamed = lib.filter (path: data.${path} ? renamed_to && !(lib.hasInfix "<" path)) (
    lib.attrNames data
  );
}

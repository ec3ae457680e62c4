# Modules: collects them, finds each definition's option, lets the one of the best priority win, and checks its type.
{ lib }:
let
  inherit (builtins)
    attrNames
    concatMap
    filter
    foldl'
    head
    isAttrs
    isFunction
    length
    mapAttrs
    ;

  show = loc: "`${lib.showOption loc}`";

  # A definition moved into the attributes of a set, with everything that stands around it.
  pushDown =
    { file, value }:
    let
      within =
        wrap: content:
        map (def: def // { value = mapAttrs (_: wrap) def.value; }) (pushDown {
          inherit file;
          value = content;
        });
      kind = value._type or null;
    in
    if kind == "merge" then
      concatMap (
        content:
        pushDown {
          inherit file;
          value = content;
        }
      ) value.contents
    else if kind == "if" then
      within (lib.mkIf value.condition) value.content
    else if kind == "override" then
      within (lib.mkOverride value.priority) value.content
    else if isAttrs value then
      [ { inherit file value; } ]
    else
      throw "In ${file} stands a value where options are: ${builtins.typeOf value}";

  # The definitions of `name` among pushed down ones.
  below =
    name: defs:
    map (def: {
      inherit (def) file;
      value = def.value.${name};
    }) (filter (def: def.value ? ${name}) defs);

  # A definition without what stood around it, with its priority; none if its condition does not hold.
  discharge =
    { file, value }:
    let
      kind = value._type or null;
      again =
        content:
        discharge {
          inherit file;
          value = content;
        };
    in
    if kind == "merge" then
      concatMap again value.contents
    else if kind == "if" then
      (if value.condition then again value.content else [ ])
    else if kind == "override" then
      map (def: def // { inherit (value) priority; }) (again value.content)
    else
      [
        {
          inherit file value;
          priority = lib.defaultPriority;
        }
      ];

  # Those of the best priority.
  winners =
    defs:
    let
      all = concatMap discharge defs;
      best = foldl' (least: def: if def.priority < least then def.priority else least) 10000 all;
    in
    filter (def: def.priority == best) all;

  # The value of a type from definitions, or null in a set where there are none.
  mergeDefs =
    loc: type: defs:
    let
      final = winners defs;
      wrong = filter (def: !type.check def.value) final;
    in
    {
      defined = final != [ ];
      files = map (def: def.file) final;
      value =
        if final == [ ] then
          throw "The option ${show loc} was accessed but has no value defined."
        else if wrong != [ ] then
          throw "A definition for option ${show loc} is not of type `${type.name}'. Definition in: ${(head wrong).file}"
        else
          type.merge loc final;
    };

  evalOption =
    loc: option: defs:
    let
      # As in nixpkgs, a default is a definition of the weakest priority by whoever declares the option.
      default = lib.optional (option ? default) {
        file = option.file;
        value = lib.mkOptionDefault option.default;
      };
      merged = mergeDefs loc option.type (defs ++ default);
    in
    {
      _type = "option";
      inherit loc;
      inherit (merged) files;
      isDefined = merged.defined;
      value = (option.apply or (value: value)) merged.value;
    };

  # The options of a tree of declarations, with their values.
  evalTree =
    loc: freeform: decls: defs:
    let
      declared = lib.unique (concatMap (decl: attrNames decl.value) decls);
      pushed = concatMap pushDown defs;
      unknown = filter (name: !lib.elem name declared) (
        lib.unique (concatMap (def: attrNames def.value) pushed)
      );
      evalName =
        name:
        let
          here = loc ++ [ name ];
          mine = below name decls;
          options = filter (decl: lib.isOption decl.value) mine;
        in
        if options == [ ] then
          evalTree here null mine (below name pushed)
        else if length mine > 1 then
          throw "The option ${show here} is declared twice."
        else
          evalOption here ((head options).value // { inherit (head options) file; }) (below name pushed);
      extra = lib.optionalAttrs (freeform != null) (
        lib.genAttrs unknown (
          name:
          evalOption (loc ++ [ name ]) {
            type = freeform.elemType;
            file = "freeform";
          } (below name pushed)
        )
      );
      culprit = head unknown;
    in
    if unknown != [ ] && freeform == null then
      throw "The option ${show (loc ++ [ culprit ])} does not exist. Definition in: ${(head (below culprit pushed)).file}"
    else
      lib.genAttrs declared evalName // extra;

  valuesOf = tree: mapAttrs (_: node: if lib.isOption node then node.value else valuesOf node) tree;

  # A module in one form, whichever it was written in.
  normalise =
    args: module:
    let
      isPath = builtins.isPath module || builtins.isString module;
      content = if isPath then import module else module;
      wanted = builtins.functionArgs content;
      body =
        if isFunction content then
          content (if wanted == { } then args else builtins.intersectAttrs wanted args)
        else
          content;
      long = body ? config || body ? options;
      stray = removeAttrs body [
        "_file"
        "config"
        "freeformType"
        "imports"
        "key"
        "options"
      ];
      file = body._file or (if isPath then toString module else "<unknown>");
    in
    if long && stray != { } then
      throw "The module ${file} has `config' or `options' and also the attribute `${head (attrNames stray)}'."
    else
      {
        inherit file;
        key = body.key or (if isPath then toString module else null);
        imports = body.imports or [ ];
        options = body.options or { };
        freeformType = body.freeformType or null;
        config =
          if long then
            body.config or { }
          else
            removeAttrs body [
              "_file"
              "freeformType"
              "imports"
              "key"
            ];
      };

  # All modules, those imported after those that import them, each once; the other way round, as nixpkgs has it.
  collectModules =
    args: modules:
    let
      numbered =
        parent:
        lib.imap (
          index: module:
          let
            found = normalise args module;
          in
          {
            key = if found.key != null then found.key else "${parent}:${toString index}";
            inherit found;
          }
        );
      closure = builtins.genericClosure {
        startSet = numbered "" modules;
        operator = { key, found }: numbered key found.imports;
      };
    in
    lib.reverseList (map (item: item.found) closure);
in
{
  inherit mergeDefs pushDown below;

  evalModules =
    {
      modules,
      specialArgs ? { },
      prefix ? [ ],
    }:
    let
      args = {
        inherit config lib options;
      }
      // specialArgs;
      all = collectModules args modules;
      freeforms = filter (type: type != null) (map (module: module.freeformType) all);
      options =
        evalTree prefix (if freeforms == [ ] then null else head freeforms)
          (map (module: {
            inherit (module) file;
            value = module.options;
          }) all)
          (
            map (module: {
              inherit (module) file;
              value = module.config;
            }) all
          );
      config = valuesOf options;
    in
    {
      inherit config options;
    };
}

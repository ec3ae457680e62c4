# What stands around a definition: conditions, several at once, and priorities.
rec {
  mkIf = condition: content: {
    _type = "if";
    inherit condition content;
  };
  mkMerge = contents: {
    _type = "merge";
    inherit contents;
  };
  mkOverride = priority: content: {
    _type = "override";
    inherit priority content;
  };
  mkOptionDefault = mkOverride 1500;
  mkDefault = mkOverride 1000;
  mkForce = mkOverride 50;
  mkVMOverride = mkOverride 10;

  mkOption = attrs: attrs // { _type = "option"; };
  isOption = value: value._type or null == "option";

  # The priority of what says nothing about it.
  defaultPriority = 100;
}

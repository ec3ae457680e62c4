# What a VM is to be: the arguments of makeCustomVM and the content of vm.json, read once and trusted afterwards.
#
# They come from a command line, a file, a web page: each value is checked to be what it is taken for, none is ever put
# into an expression, and what is not known is refused, because a misspelt `overaly` would otherwise be a VM that keeps
# what it should forget.
{ lib }:
let
  inherit (import ./text.nix { inherit lib; }) show;
  size = import ./size.nix { inherit lib; };
  share = import ./share.nix { inherit lib; };
  port = import ./port.nix { inherit lib; };
  user = import ./user.nix { inherit lib; };

  # As the command line has it: safe as file name, argument, part of a shell command and of QEMU's options.
  readName =
    name:
    if builtins.isString name && builtins.match "[A-Za-z0-9][A-Za-z0-9_-]{0,47}" name != null then
      name
    else
      throw "ai-vm: ${show name} is not a name for a VM; use letters, digits, `-` and `_`, at most 48, for example \"web-1\"";

  flag = default: {
    inherit default;
    read =
      key: value:
      if builtins.isBool value then
        value
      else
        throw "ai-vm: `${key}` is true or false, not ${show value}";
  };

  readResolution =
    given:
    let
      parts =
        if builtins.isString given then
          builtins.match "([1-9][0-9]{2,4})x([1-9][0-9]{2,4})" given
        else
          null;
      number = builtins.fromJSON;
      within = value: builtins.isInt value && value >= 320 && value <= 16384;
      pair =
        if parts != null then
          {
            x = number (lib.head parts);
            y = number (lib.elemAt parts 1);
          }
        else
          given;
    in
    if given == null then
      null
    else if
      builtins.isAttrs pair
      &&
        lib.attrNames pair == [
          "x"
          "y"
        ]
      && within pair.x
      && within pair.y
    then
      pair
    else
      throw "ai-vm: ${show given} is not a resolution; write for example \"1920x1080\"";

  readStore =
    given:
    if given == "host" || given == "image" then
      given
    else
      throw "ai-vm: `store` is \"host\" or \"image\", not ${show given}";

  readRelease =
    given:
    if
      given == null || builtins.isString given && builtins.match "[0-9]{2}\\.[0-9]{2}" given != null
    then
      given
    else
      throw "ai-vm: ${show given} is not a release of NixOS such as \"26.05\"";

  readSchema =
    given:
    if given == 1 then
      given
    else
      throw "ai-vm: this flake reads vm.json of schema 1, not ${show given}; take a flake of the same version as ai-vm";

  keys = {
    schema = {
      default = 1;
      read = _: readSchema;
    };
    name = {
      default = "ai-vm";
      read = _: readName;
    };
    # Memory in MiB, processors, disk in GiB.
    ram = {
      default = "8gb";
      read = _: size.parseMemory;
    };
    cpu = {
      default = 2;
      read = _: size.parseCpus;
    };
    storage = {
      default = "50gb";
      read = _: size.parseDisk;
    };
    # What is built or installed in the guest lies in memory and is gone when it stops.
    overlay = flag false;
    # Where the guest's store comes from: the host's, read-only, or a disk that holds the closure and nothing else.
    store = {
      default = "host";
      read = _: readStore;
    };
    sharedRW = {
      default = [ ];
      read = share.readPaths;
    };
    sharedRO = {
      default = [ ];
      read = share.readPaths;
    };
    # Null: chosen at launch. A list: exactly these, in the forwards and in the firewall.
    ports = {
      default = null;
      read = _: port.readPorts;
    };
    users = {
      default = [ "dev" ];
      read = _: user.readUsers;
    };
    audio = flag false;
    desktop = flag false;
    resolution = {
      default = null;
      read = _: readResolution;
    };
    # Tools to run virtual machines in the VM.
    nested = flag false;
    # Logins without a password, over SSH too.
    allowEmptyPasswords = flag false;
    # Whether /etc/nixos is a git repository.
    git = flag true;
    # The release whose defaults the VM's data follow: that of its creation, for its life. Null: the one that builds it.
    stateVersion = {
      default = null;
      read = _: readRelease;
    };
  };
in
rec {
  # Returns the whole specification, checked, with every key.
  normalise =
    given:
    let
      unknown = lib.attrNames (removeAttrs given (lib.attrNames keys));
      spec = lib.mapAttrs (key: { default, read }: read key (given.${key} or default)) keys;
    in
    if !builtins.isAttrs given then
      throw "ai-vm: a VM is described by an attribute set, not ${show given}"
    else if unknown != [ ] then
      throw "ai-vm: a VM has no ${show (lib.head unknown)}; there are ${lib.concatStringsSep ", " (lib.attrNames keys)}"
    else if spec.resolution != null && !spec.desktop then
      throw "ai-vm: a resolution needs a desktop: `desktop = true`"
    else
      # Wrong values are found here, whatever is asked of the result.
      builtins.deepSeq spec spec;

  # A normalised specification in the form in which it can be read again, as vm.json has it.
  describe =
    spec:
    spec
    // {
      # A bare number would be GiB.
      ram = "${toString spec.ram}mb";
      resolution = resolutionText spec.resolution;
    };

  # `1920x1080`, or null.
  resolutionText =
    resolution:
    if resolution == null then null else "${toString resolution.x}x${toString resolution.y}";
}

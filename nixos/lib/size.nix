# Sizes as people write them. The limits are those of the command line.
{ lib }:
let
  # Each unit in MiB. People write GB and mean GiB, as memory is sold.
  units = {
    m = 1;
    mb = 1;
    mib = 1;
    g = 1024;
    gb = 1024;
    gib = 1024;
    t = 1024 * 1024;
    tb = 1024 * 1024;
    tib = 1024 * 1024;
  };
  counts = [
    "cpu"
    "cpus"
    "core"
    "cores"
  ];

  show = builtins.toJSON;

  # More digits than this overflow before they can be compared.
  maxDigits = 9;

  # Number and unit of a text, or null if it is not one.
  split =
    value:
    let
      text = if builtins.isInt value && value >= 0 then toString value else value;
      parts =
        if builtins.isString text then builtins.match "[ ]*0*([0-9]+)[ ]*([A-Za-z]*)[ ]*" text else null;
      digits = builtins.elemAt parts 0;
    in
    if parts == null || builtins.stringLength digits > maxDigits then
      null
    else
      {
        number = builtins.fromJSON digits;
        unit = lib.toLower (builtins.elemAt parts 1);
      };

  toMiB =
    what: value:
    let
      size = split value;
      unit = if size.unit == "" then "gb" else size.unit;
    in
    if size == null || !(units ? ${unit}) then
      throw "ai-vm: ${show value} is not a ${what}; write for example \"8gb\", \"8GiB\" or \"512mb\""
    else
      size.number * units.${unit};

  within =
    what: range: lowest: highest: value: number:
    if number < lowest || number > highest then
      throw "ai-vm: ${show value} is not a ${what} ${range}"
    else
      number;
in
rec {
  # Any size: "8gb", "8GiB", "512mb", "1tb" and a bare number, which is GiB, in MiB; "2cpu" as the number that it is.
  parseSize =
    value:
    let
      size = split value;
    in
    if size != null && lib.elem size.unit counts then size.number else toMiB "size" value;

  # Memory in MiB.
  parseMemory =
    value:
    within "memory size" "from 128mb to 1024gb" 128 (1024 * 1024) value (toMiB "memory size" value);

  # Disk in GiB.
  parseDisk =
    value:
    let
      mib = toMiB "disk size" value;
      whole = mib / 1024;
    in
    if whole * 1024 != mib then
      throw "ai-vm: ${show value} is not a disk size in whole gigabytes"
    else
      within "disk size" "from 1gb to 10000gb" 1 10000 value whole;

  # Number of processors.
  parseCpus =
    value:
    let
      size = split value;
    in
    if size == null || !(size.unit == "" || lib.elem size.unit counts) then
      throw "ai-vm: ${show value} is not a number of CPUs; write for example 4 or \"4cpu\""
    else
      within "number of CPUs" "from 1 to 128" 1 128 value size.number;
}

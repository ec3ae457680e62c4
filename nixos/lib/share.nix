# Folders of the host: their mount tags and where they appear in the guest.
{ lib }:
let
  text = import ./text.nix { inherit lib; };
  inherit (text) show;

  # QEMU's limit for a 9p mount tag, in bytes (MAX_TAG_LEN is 32 with the end of the string).
  maxTag = 31;

  # Nothing good comes of these, whoever asks. What needs the file system to be judged, such as links that lead here, is
  # judged by the command line, which sees it.
  refused = [
    "/boot"
    "/dev"
    "/proc"
    "/sys"
  ];

  readPath =
    given:
    let
      asked = if builtins.isPath given then toString given else given;
      # A single slash at the end is how shells complete directories.
      path = if asked == "/" then asked else lib.removeSuffix "/" asked;
      parts = lib.splitString "/" path;
      wrong = why: throw "ai-vm: the shared folder ${show asked} ${why}";
    in
    if !builtins.isString asked then
      throw "ai-vm: a shared folder is a path, not ${show given}"
    else if !lib.hasPrefix "/" path then
      wrong "is not an absolute path"
    else if text.hasControls path || lib.hasInfix "\\" path then
      wrong "has control characters or backslashes, which do not survive /etc/fstab; share it with `ai-vm start` instead"
    else if path == "/" || lib.any (dir: path == dir || lib.hasPrefix "${dir}/" path) refused then
      wrong "belongs to the system of the host"
    else if lib.any (part: part == "" || part == "." || part == "..") (lib.tail parts) then
      wrong "has an empty, `.` or `..` component"
    else
      path;

  # One byte more than a character is lost when a tag ends inside it; tags are plain, so there are none.
  tagOf =
    mode: path:
    let
      hash = lib.substring 0 8 (builtins.hashString "sha256" path);
      head = "${mode}-${hash}-";
    in
    head + lib.substring 0 (maxTag - lib.stringLength head) (text.sanitize (baseNameOf path));

  describe =
    mode: paths: path:
    let
      name = baseNameOf path;
      same = lib.filter (other: baseNameOf other == name) paths;
      hash = lib.substring 0 8 (builtins.hashString "sha256" path);
    in
    {
      inherit path mode;
      tag = tagOf mode path;
      # Two folders of one name: the first keeps it, so that a second one does not move it.
      target = "/mnt/host-${mode}/${name}${lib.optionalString (lib.head same != path) "-${hash}"}";
    };

  unique = lib.foldl' (seen: path: if lib.elem path seen then seen else seen ++ [ path ]) [ ];
in
{
  inherit maxTag readPath tagOf;

  # The paths of a list, each checked and once.
  readPaths =
    key: given:
    if builtins.isList given then
      unique (map readPath given)
    else
      throw "ai-vm: `${key}` is a list of folders, not ${show given}";

  # All shares of a VM: attribute sets of path, mode (`rw` or `ro`), tag and target.
  sharesOf =
    { sharedRW, sharedRO, ... }:
    map (describe "rw" sharedRW) sharedRW ++ map (describe "ro" sharedRO) sharedRO;
}

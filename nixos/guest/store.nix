# The guest's /nix/store: an overlay over a read-only store that the host provides.
#
# `store = "host"` mounts the host's own store. Nothing is copied, a build costs no disk, and everything of the host's
# store is there to see, which is the trade-off: a guest can read every file in it, and speaks to QEMU's 9p server. Only
# paths of the image's closure are registered in the guest's database, so others are visible but are not used for builds.
# `store = "image"` puts the closure, and nothing else, on a disk of its own: for guests that shall not see more.
#
# The upper layer lies on the root disk, so that what is built in the guest is there after a restart, as the database says.
# With `overlay` both lie in memory, and a restart begins from the image again.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  vm = config.ai-vm;
  fromHost = vm.store == "host";
  label = "nix-store";

  # Large packets, because a store is read in large pieces, and no protocol of changes, because nobody changes it.
  mountOptions = [
    "trans=virtio"
    "version=9p2000.L"
    "msize=262144"
    "cache=loose"
    "ro"
    "x-systemd.requires=modprobe@9pnet_virtio.service"
  ];
in
{
  virtualisation = {
    mountHostNixStore = false;
    writableStore = true;
    # nixpkgs' default is true: what is built is gone at the next start while the database on disk still has it.
    writableStoreUseTmpfs = vm.overlay;

    fileSystems = {
      "/nix/.ro-store" = {
        device = if fromHost then label else "/dev/disk/by-label/${label}";
        fsType = if fromHost then "9p" else "erofs";
        options = if fromHost then mountOptions else [ "ro" ];
        neededForBoot = true;
      };
      "/nix/store" = {
        overlay = {
          lowerdir = [ "/nix/.ro-store" ];
          upperdir = "/nix/.rw-store/upper";
          workdir = "/nix/.rw-store/work";
        };
        neededForBoot = true;
      };
      # Database, profiles and roots tell of the store, so they are kept or forgotten with it.
      "/nix/var" = lib.mkIf vm.overlay {
        device = "tmpfs";
        fsType = "tmpfs";
        options = [ "mode=0755" ];
        neededForBoot = true;
      };
    };

    # `readonly=on` is what keeps the host's store from being written to: root in the guest can mount it as it likes.
    qemu.options = lib.mkIf fromHost [
      "-virtfs local,path=${builtins.storeDir},security_model=none,mount_tag=${label},readonly=on"
    ];
    qemu.drives = lib.mkIf (!fromHost) [
      {
        name = label;
        file = "${config.system.build.ai-vm-store-image}";
        driveExtraOpts.format = "raw";
        driveExtraOpts.readonly = "on";
        deviceExtraOpts.serial = label;
      }
    ];

    # A rebuild without network needs more than what runs: the tools that put a system together, and the parts that they
    # put together. In the host's store they cost nothing but their being there; the disk of `image` is to be small.
    additionalPaths = lib.mkIf fromHost (
      [
        pkgs.stdenv
        pkgs.stdenvNoCC
      ]
      ++ map (part: part.inputDerivation) [
        config.system.build.toplevel
        config.system.build.etc
        config.system.build.bootStage2
        config.system.build.initialRamdisk
        config.system.path
      ]
    );
  };

  # One file that holds the closure of the system and the list of its paths, as qemu-vm.nix makes one at each start. The
  # same closure gives the same file: no times, no owners, and an identifier that is not drawn.
  system.build.ai-vm-store-image =
    pkgs.runCommand "ai-vm-store-image"
      {
        nativeBuildInputs = [
          pkgs.gnutar
          pkgs.erofs-utils
        ];
        closure = pkgs.closureInfo {
          rootPaths = [
            config.system.build.toplevel
            config.system.build.ai-vm-registration
          ];
        };
      }
      ''
        tar --create --absolute-names --verbatim-files-from --transform 'flags=rSh;s|${builtins.storeDir}/||' \
          --files-from "$closure/store-paths" |
          mkfs.erofs --quiet --force-uid=0 --force-gid=0 -L ${label} -T 0 \
            -U 6f6e1d54-6a1c-4b39-9d0e-3b1f3a1c9a11 --hard-dereference --tar=f "$out"
      '';
}

# What can be computed without packages, computed: sizes, names, shares, ports, users, manifest, lock. Each test is a value
# and what it has to be; `refused` are expressions that have to fail.
{ lib }:
let
  ours = import ../../nixos/lib { inherit lib; };
  inherit (ours)
    manifest
    port
    share
    size
    spec
    text
    ;

  hostile = [
    "\${builtins.abort \"evaluated\"}"
    "''\${1}''"
    "a\"b'c`d$e;f&g|h<i>j(k)l{m}n[o]p*q?r!s~t#u%v"
    "a,readonly=off"
    "Ünïcödé 日本"
    " two  blanks "
    "-rf"
  ];

  # A refusal counts only if it is one of ours, which `tryEval` can catch; anything else ends the evaluation.
  refuses = value: !(builtins.tryEval (builtins.deepSeq value null)).success;

  normal = spec.normalise { };
  full = spec.normalise {
    schema = 1;
    name = "Web_1";
    ram = "512mb";
    cpu = "4cpu";
    storage = "1tb";
    overlay = true;
    store = "image";
    sharedRW = [
      "/srv/a"
      "/home/dev/a/"
      "/srv/a"
    ];
    sharedRO = [ "/srv/a" ];
    ports = [
      "8080:80"
      22
      "443"
      {
        host = 9000;
        guest = 90;
      }
    ];
    users = [
      "dev"
      {
        name = "ops";
        uid = 1001;
        keys = [ "ssh-ed25519 AAAA ops@example.org" ];
      }
    ];
    audio = true;
    desktop = true;
    resolution = "1920x1080";
    nested = true;
    allowEmptyPasswords = true;
    git = false;
    stateVersion = "26.05";
  };

  tests = {
    sizes = {
      value = map size.parseSize [
        "8gb"
        "8GiB"
        "8G"
        "8"
        8
        "512mb"
        "0512 MB"
        " 2tb "
        "2cpu"
        "1core"
      ];
      is = [
        8192
        8192
        8192
        8192
        8192
        512
        512
        2097152
        2
        1
      ];
    };
    limits = {
      value = [
        (size.parseMemory "128mb")
        (size.parseMemory "1024gb")
        (size.parseDisk "10000gb")
        (size.parseDisk "1024mb")
        (size.parseCpus 128)
        (size.parseCpus "1")
      ];
      is = [
        128
        1048576
        10000
        1
        128
        1
      ];
    };
    defaults = {
      value = normal;
      is = {
        schema = 1;
        name = "ai-vm";
        ram = 8192;
        cpu = 2;
        storage = 50;
        overlay = false;
        store = "host";
        sharedRW = [ ];
        sharedRO = [ ];
        ports = null;
        users = [
          {
            name = "dev";
            uid = null;
            keys = [ ];
          }
        ];
        audio = false;
        desktop = false;
        resolution = null;
        nested = false;
        allowEmptyPasswords = false;
        git = true;
        stateVersion = null;
      };
    };
    everything-at-once = {
      value = {
        inherit (full)
          ram
          cpu
          storage
          ports
          resolution
          sharedRW
          ;
      };
      is = {
        ram = 512;
        cpu = 4;
        storage = 1024;
        ports = [
          {
            host = 8080;
            guest = 80;
          }
          {
            host = 22;
            guest = 22;
          }
          {
            host = 443;
            guest = 443;
          }
          {
            host = 9000;
            guest = 90;
          }
        ];
        resolution = {
          x = 1920;
          y = 1080;
        };
        sharedRW = [
          "/srv/a"
          "/home/dev/a"
        ];
      };
    };
    # vm.json in the guest says the same as the arguments of the build.
    described-and-read-again = {
      value = map (given: spec.normalise (builtins.fromJSON (builtins.toJSON (spec.describe given)))) [
        normal
        full
      ];
      is = [
        normal
        full
      ];
    };

    shares-of-one-name = {
      value = map (folder: { inherit (folder) target tag; }) (share.sharesOf full);
      is = [
        {
          target = "/mnt/host-rw/a";
          tag = "rw-${lib.substring 0 8 (builtins.hashString "sha256" "/srv/a")}-a";
        }
        {
          target = "/mnt/host-rw/a-${lib.substring 0 8 (builtins.hashString "sha256" "/home/dev/a")}";
          tag = "rw-${lib.substring 0 8 (builtins.hashString "sha256" "/home/dev/a")}-a";
        }
        {
          target = "/mnt/host-ro/a";
          tag = "ro-${lib.substring 0 8 (builtins.hashString "sha256" "/srv/a")}-a";
        }
      ];
    };
    # sha256 of `/srv/a` by another program: printf %s /srv/a | sha256sum
    a-tag-is-what-other-programs-make-it = {
      value = share.tagOf "ro" "/srv/a";
      is = "ro-b068a6ce-a";
    };
    tags-are-short-and-plain = {
      value = map (
        name:
        let
          tag = share.tagOf "rw" "/srv/${name}-and-a-name-that-goes-on-for-quite-a-while";
        in
        lib.stringLength tag == share.maxTag && builtins.match "rw-[0-9a-f]{8}-[A-Za-z0-9._-]+" tag != null
      ) hostile;
      is = map (_: true) hostile;
    };
    hostile-paths-arrive-exactly = {
      value = map (
        name: (lib.head (share.sharesOf (spec.normalise { sharedRO = [ "/srv/${name}" ]; }))).path
      ) hostile;
      is = map (name: "/srv/${name}") hostile;
    };
    a-comma-is-doubled-for-qemu = {
      value = text.qemuValue "/srv/a,readonly=off,,b";
      is = "/srv/a,,readonly=off,,,,b";
    };
    host-names = {
      value = map text.hostName [
        "web"
        "Web_1"
        "a-_-"
        "ai-vm"
      ];
      is = [
        "web"
        "web-1"
        "a"
        "ai-vm"
      ];
    };
    no-ports-is-not-unknown-ports = {
      value = map port.readPorts [
        null
        [ ]
      ];
      is = [
        null
        [ ]
      ];
    };

    command-line = {
      value = manifest.commandLine {
        kernelParams = [
          "panic=1"
          "root=fstab"
        ];
        toplevel = "/nix/store/t";
        registration = "/nix/store/r/registration";
        consoles = [
          "tty0"
          "ttyS0,115200n8"
        ];
      };
      is = "panic=1 root=fstab init=/nix/store/t/init regInfo=/nix/store/r/registration console=tty0 console=ttyS0,115200n8";
    };
    manifest = {
      value = manifest.manifest {
        spec = full;
        kernel = "/nix/store/t/kernel";
        initrd = "/nix/store/t/initrd";
        cmdline = "x";
        toplevel = "/nix/store/t";
        storeImage = "/nix/store/i";
        nixosVersion = "26.11.20260802.6438090";
        stateVersion = "26.05";
      };
      is = {
        schema = 1;
        family = "nixos";
        kernel = "/nix/store/t/kernel";
        initrd = "/nix/store/t/initrd";
        cmdline = "x";
        toplevel = "/nix/store/t";
        store = {
          kind = "image";
          path = "/nix/store/i";
          format = "raw";
        };
        disk = {
          kind = "blank";
          label = "nixos";
        };
        features = {
          overlay = true;
          audio = true;
          desktop = true;
          resolution = "1920x1080";
        };
        nixosVersion = "26.11.20260802.6438090";
        stateVersion = "26.05";
      };
    };

    # nixpkgs as our own lock file has it: the guest's lock has to be the same file.
    lock-of-the-pinned-nixpkgs =
      let
        own = builtins.fromJSON (builtins.readFile ../../flake.lock);
        pin = own.nodes.nixpkgs.locked;
      in
      {
        value = ours.lock.lockFor {
          inherit (pin) rev narHash lastModified;
          outPath = "/nix/store/s-source";
        };
        is = own;
      };
    lock-of-a-local-nixpkgs = {
      value =
        (ours.lock.lockFor {
          narHash = "sha256-x";
          lastModified = 1;
          outPath = "/nix/store/s-source";
        }).nodes.nixpkgs.locked;
      is = {
        type = "path";
        path = "/nix/store/s-source";
        narHash = "sha256-x";
        lastModified = 1;
      };
    };
  };

  refusedSpecs = {
    unknown-key = {
      overaly = true;
    };
    modules-are-not-data = {
      modules = [ "/etc/passwd" ];
    };
    newer-schema = {
      schema = 2;
    };
    memory-unit = {
      ram = "8kb";
    };
    memory-text = {
      ram = "lots";
    };
    memory-negative = {
      ram = -1;
    };
    memory-fraction = {
      ram = 1.5;
    };
    memory-small = {
      ram = "127mb";
    };
    memory-large = {
      ram = "1025gb";
    };
    memory-overflow = {
      ram = "99999999999999999999gb";
    };
    # 2^54 + 8: times 1024 it is 8192 in 64 bits.
    memory-wraps-around = {
      ram = "18014398509481992gb";
    };
    memory-is-cpus = {
      ram = "2cpu";
    };
    cpu-zero = {
      cpu = 0;
    };
    cpu-many = {
      cpu = 129;
    };
    cpu-size = {
      cpu = "2gb";
    };
    storage-fraction = {
      storage = "1025mb";
    };
    storage-zero = {
      storage = 0;
    };
    name-empty = {
      name = "";
    };
    name-long = {
      name = lib.concatMapStrings (_: "a") (lib.genList (_: null) 49);
    };
    name-newline = {
      name = "web\n";
    };
    name-starts-badly = {
      name = "-web";
    };
    flag-text = {
      overlay = "true";
    };
    share-relative = {
      sharedRO = [ "srv" ];
    };
    share-up = {
      sharedRO = [ "/srv/../etc" ];
    };
    share-root = {
      sharedRW = [ "/" ];
    };
    share-proc = {
      sharedRW = [ "/proc/1/root" ];
    };
    share-dev = {
      sharedRO = [ "/dev/" ];
    };
    share-newline = {
      sharedRO = [ "/srv/a\n/b" ];
    };
    share-escape = {
      sharedRO = [ "/srv/a\\040b" ];
    };
    share-is-no-list = {
      sharedRO = "/srv";
    };
    share-is-no-text = {
      sharedRO = [ 1 ];
    };
    port-zero = {
      ports = [ 0 ];
    };
    port-large = {
      ports = [ 65536 ];
    };
    port-text = {
      ports = [ "http" ];
    };
    port-injection = {
      ports = [ "8080:80,hostfwd=tcp::23-:22" ];
    };
    port-three = {
      ports = [ "1:2:3" ];
    };
    port-extra = {
      ports = [
        {
          host = 1;
          guest = 2;
          bind = "0.0.0.0";
        }
      ];
    };
    port-twice = {
      ports = [
        80
        "80:90"
      ];
    };
    ports-number = {
      ports = 80;
    };
    user-none = {
      users = [ ];
    };
    user-root = {
      users = [ "root" ];
    };
    user-twice = {
      users = [
        "dev"
        { name = "dev"; }
      ];
    };
    user-system-uid = {
      users = [
        {
          name = "dev";
          uid = 0;
        }
      ];
    };
    user-unknown-key = {
      users = [
        {
          name = "dev";
          groups = [ "docker" ];
        }
      ];
    };
    user-key-of-two-lines = {
      users = [
        {
          name = "dev";
          keys = [ "ssh-ed25519 A\nssh-ed25519 B" ];
        }
      ];
    };
    resolution-without-desktop = {
      resolution = "1920x1080";
    };
    resolution-text = {
      desktop = true;
      resolution = "large";
    };
    resolution-injection = {
      desktop = true;
      resolution = "1920x1080,foo=bar";
    };
    store-elsewhere = {
      store = "/nix/store";
    };
    state-version = {
      stateVersion = "unstable";
    };
  }
  // lib.listToAttrs (
    map (name: {
      name = "hostile name ${name}";
      value = { inherit name; };
    }) hostile
  )
  // lib.listToAttrs (
    map (name: {
      name = "hostile user ${name}";
      value = {
        users = [ name ];
      };
    }) hostile
  );

  wrong = lib.filter (name: tests.${name}.value != tests.${name}.is) (lib.attrNames tests);
  accepted = lib.filter (name: !(refuses (spec.normalise refusedSpecs.${name}))) (
    lib.attrNames refusedSpecs
  );
in
{
  count = lib.length (lib.attrNames tests) + lib.length (lib.attrNames refusedSpecs);
  failed =
    map (name: { inherit name; } // tests.${name}) wrong
    ++ map (name: {
      inherit name;
      value = "accepted";
      is = "refused";
    }) accepted;
}

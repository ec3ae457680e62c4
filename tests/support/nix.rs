//! The real Nix, with a store of the test's own, and a flake that stands in for ai-vm's: what it builds is not a NixOS,
//! which cannot be had without a network, but says of itself what a NixOS would.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where Nix keeps things for one test, and the flake.
pub struct Nix {
    dir: PathBuf,
    flake: PathBuf,
}

/// What is asked for comes out again beside the manifest. `KERNEL` and `INITRD` are files of the flake.
const FLAKE: &str = r##"{
  outputs = { self }: {
    lib.x86_64-linux.makeCustomVM = spec: derivation {
      name = "ai-vm-vm";
      system = "x86_64-linux";
      builder = "/bin/sh";
      # NixOS makes the same of no release and of its own.
      spec = builtins.toJSON (removeAttrs spec [ "stateVersion" ]);
      manifest = builtins.toJSON {
        schema = 1;
        family = "nixos";
        kernel = ./kernel;
        initrd = ./initrd;
        cmdline = builtins.readFile ./cmdline;
        toplevel = "/nix/store/stands-in";
        store.kind = "host";
        disk = { kind = "blank"; label = "nixos"; };
        nixosVersion = "26.11.stands-in";
        stateVersion = "26.11";
      };
      args = [ "-c" "PATH=/usr/bin:/bin; mkdir $out; printf %s \"$spec\" >$out/spec.json; printf %s \"$manifest\" >$out/manifest.json" ];
    };
  };
}
"##;

impl Nix {
    /// Sets it up below a directory. The flake is in a directory of any name.
    pub fn new(below: &Path, flake: &str) -> Self {
        let nix = Self { dir: below.join("nix"), flake: below.join(flake) };
        for dir in [nix.dir.join("etc"), nix.flake.clone()] {
            std::fs::create_dir_all(dir).unwrap();
        }
        let settings = "build-users-group =\nsandbox = false\nsubstituters =\nflake-registry =\n";
        std::fs::write(nix.dir.join("etc/nix.conf"), settings).unwrap();
        nix.write("flake.nix", FLAKE);
        nix.write("kernel", "a kernel");
        nix.write("initrd", "an initial RAM disk");
        nix.write("cmdline", "console=ttyS0");
        nix
    }

    /// Writes a file of the flake.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.flake.join(name), text).unwrap();
    }

    /// The directory of the flake.
    pub fn flake(&self) -> &Path {
        &self.flake
    }

    /// Lets a command, and what it runs, have this Nix.
    pub fn lend(&self, command: &mut Command) {
        for (name, below) in [
            ("NIX_STORE_DIR", "store"),
            ("NIX_STATE_DIR", "var"),
            ("NIX_LOG_DIR", "log"),
            ("NIX_CONF_DIR", "etc"),
        ] {
            command.env(name, self.dir.join(below));
        }
        command.env_remove("NIX_PATH").env_remove("NIX_REMOTE");
    }
}

impl Drop for Nix {
    fn drop(&mut self) {
        // What is in a store may not be written to, and so not be removed either.
        let _ = Command::new("chmod").args(["-R", "u+w"]).arg(&self.dir).status();
    }
}

//! A NixOS guest as far as it goes without a NixOS: the real Nix builds a stand-in whose kernel and initial RAM disk are
//! the Debian guest's, and ai-vm launches it on the way that NixOS guests take: manifest, store over 9p, and what the
//! guest recorded by NixOS's own hook.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::home::{Home, Ran, finish};
use crate::nix::Nix;

const VM: &str = "shaped";
const LIMIT: Duration = Duration::from_secs(300);

struct Shaped<'a> {
    home: &'a Home,
    nix: Nix,
}

impl Shaped<'_> {
    fn run(&self, args: &[&str]) -> Ran {
        let mut command = self.home.command(args);
        self.nix.lend(&mut command);
        finish(command, LIMIT)
    }

    fn ok(&self, args: &[&str]) -> Ran {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "ai-vm {args:?}: {}", ran.err);
        ran
    }

    fn sh(&self, script: &str) -> String {
        self.ok(&["exec", VM, "--", "sh", "-c", script]).out
    }

    /// Which system runs.
    fn system(&self) -> String {
        let line = self.sh("cat /proc/cmdline");
        line.split_whitespace().find_map(|word| word.strip_prefix("shaped=")).unwrap().to_owned()
    }

    /// Has the guest record a system that says `name` of itself, as NixOS does at the end of a rebuild.
    fn record(&self, name: &str, kernel: &Path) {
        self.sh("rm -rf top; mkdir top");
        let put = |from: &Path, to: &str| {
            self.ok(&["cp", from.to_str().unwrap(), &format!("{VM}:top/{to}")]);
        };
        put(kernel, "kernel");
        put(&self.nix.flake().join("initrd"), "initrd");
        put(&Path::new(env!("CARGO_MANIFEST_DIR")).join("nixos/scripts/record-boot.sh"), "record-boot");
        let parameters = cmdline(&debian_image(self.home), name);
        self.sh(&format!("printf %s '{parameters}' >top/kernel-params; sudo -n bash top/record-boot top"));
    }
}

fn debian_image(home: &Home) -> PathBuf {
    let mut images =
        std::fs::read_dir(home.data().join("images")).unwrap().flatten().map(|entry| entry.path());
    images.find(|path| path.join("vmlinux").is_file()).unwrap()
}

fn cmdline(debian: &Path, name: &str) -> String {
    format!("{} shaped={name}", std::fs::read_to_string(debian.join("cmdline")).unwrap().trim())
}

/// Has the Debian image of a home already.
pub fn boots_what_was_recorded(home: &Home) {
    let debian = debian_image(home);
    let shaped = Shaped { home, nix: Nix::new(home.dir(), "flake") };
    let flake = shaped.nix.flake().to_owned();
    std::fs::copy(debian.join("vmlinux"), flake.join("kernel")).unwrap();
    std::fs::copy(debian.join("initrd.img"), flake.join("initrd")).unwrap();
    shaped.nix.write("cmdline", &cmdline(&debian, "built"));
    // In place of the empty disk, on which a NixOS would have its data and nothing else.
    let disk = home.data().join("images/nixos-disk");
    std::fs::create_dir(&disk).unwrap();
    std::fs::hard_link(debian.join("root.img"), disk.join("root.img")).unwrap();
    let description =
        "family = \"nixos\"\ncreated = \"2026-01-01T00:00:00Z\"\ndisk = \"root.img\"\nformat = \"raw\"\n";
    std::fs::write(disk.join("image.toml"), description).unwrap();

    let flake = flake.to_str().unwrap();
    shaped.ok(&[
        "up",
        VM,
        "--guest",
        "nixos",
        "--flake",
        flake,
        "--user",
        "dev",
        "--ram",
        "1",
        "--storage",
        "10",
    ]);
    assert_eq!(shaped.system(), "built");
    the_store_is_read_only(&shaped);

    shaped.record("rebuilt", &debian.join("vmlinux"));
    shaped.ok(&["restart", VM]);
    assert_eq!(shaped.system(), "rebuilt");
    shaped.ok(&["restart", "--base", VM]);
    assert_eq!(shaped.system(), "built");

    // One that cannot even be started.
    let broken = home.dir().join("broken");
    std::fs::write(&broken, "no kernel").unwrap();
    shaped.record("broken", &broken);
    shaped.ok(&["stop", VM]);
    let ran = shaped.run(&["start", VM]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    let ran = shaped.ok(&["start", VM]);
    assert!(ran.err.contains("did not come up, so the one before is booted"), "{}", ran.err);
    assert_eq!(shaped.system(), "rebuilt");
    shaped.ok(&["rm", "--force", "--yes", VM]);
}

fn the_store_is_read_only(shaped: &Shaped<'_>) {
    let mount = "sudo -n mkdir -p /mnt/store && sudo -n mount -t 9p -o trans=virtio,version=9p2000.L nix-store /mnt/store";
    shaped.sh(mount);
    assert!(shaped.sh("cat /mnt/store/*-ai-vm-vm/manifest.json").contains("\"nixos\""));
    for attempt in ["touch /mnt/store/x", "sh -c 'mount -o remount,rw /mnt/store; touch /mnt/store/x'"] {
        assert_ne!(
            shaped.run(&["exec", VM, "--", "sh", "-c", &format!("sudo -n {attempt}")]).code,
            0,
            "{attempt}"
        );
    }
    assert_eq!(shaped.sh("readlink /dev/disk/by-id/virtio-root"), "../../vda\n");
    shaped.sh("sudo -n umount /mnt/store");
}

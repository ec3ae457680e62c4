//! The empty disk that the disks of all NixOS guests lie over. Their systems are in the store, so it holds nothing but a
//! file system, which each guest grows to the size of its own disk.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::guest::error::ImageError;
use crate::guest::manifest::{self, Manifest};
use crate::host::files::{self, failed};
use crate::host::process;
use crate::host::program;
use crate::qemu::disk::DiskFormat;

/// The image's name. It never changes, because what is in it is what the VMs' disks were made over.
pub const IMAGE: &str = "nixos-disk";

/// The file system's label, by which NixOS finds it.
pub const LABEL: &str = "nixos";

/// Its size in bytes: the smallest disk of a VM is larger.
const BYTES: u64 = 512 << 20;

/// How long it may take to make. It takes some milliseconds.
const LIMIT: Duration = Duration::from_secs(60);

/// Makes the disk in an empty directory.
pub fn make(dir: &Path) -> Result<Manifest, ImageError> {
    let path = dir.join("root.img");
    let file = files::create_private(&path)?;
    file.set_len(BYTES).map_err(failed("make", &path))?;
    let mut mkfs = Command::new(program::find("mkfs.ext4", "e2fsprogs")?);
    mkfs.args([
        "-q",
        "-F",
        "-L",
        LABEL,
        "-m",
        "1",
        "-b",
        "4096",
        "-J",
        "size=64",
        "-E",
        "lazy_itable_init=0,nodiscard",
    ])
    .arg(&path);
    process::output(&mut mkfs, LIMIT)?;
    Ok(Manifest {
        family: "nixos".to_owned(),
        created: manifest::now(),
        disk: Some("root.img".to_owned()),
        format: DiskFormat::Raw,
        boot: None,
        desktop: false,
        source: None,
        nixos: None,
    })
}

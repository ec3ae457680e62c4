//! What an image consists of, as the description beside it says.

use std::path::PathBuf;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::qemu::disk::DiskFormat;

/// What an image consists of. File names are relative to its directory, or absolute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The guest family, as in a VM's record.
    pub family: String,
    /// When it was made, RFC 3339 in UTC.
    pub created: String,
    /// The disk that a VM's own lies over. A NixOS system has none: its VMs' disks lie over an empty one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<String>,
    /// The disk's form.
    #[serde(default)]
    pub format: DiskFormat,
    /// What is booted directly; without it the machine's firmware starts the disk.
    #[serde(default)]
    pub boot: Option<DirectBoot>,
    /// Whether it shows a desktop on the screen of a VM that has one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub desktop: bool,
    /// Where a brought image came from.
    #[serde(default)]
    pub source: Option<Source>,
    /// What else there is to know of a NixOS system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nixos: Option<System>,
}

/// A kernel that QEMU starts itself, without firmware or boot loader in between.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectBoot {
    /// The kernel.
    pub kernel: String,
    /// The initial RAM disk.
    pub initrd: String,
    /// The kernel's parameters.
    pub cmdline: String,
}

/// Where an image came from, and how its file looked then, so that an unchanged file is not read again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The absolute path, or the URL.
    pub from: String,
    /// Its size in bytes; 0 for a URL.
    pub bytes: u64,
    /// When it was changed last, in nanoseconds since 1970; 0 for a URL.
    pub modified_ns: i64,
}

/// What there is to know of a NixOS system besides what it boots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct System {
    /// The result of the build, a path in the store.
    pub result: PathBuf,
    /// The system itself, a path in the store.
    pub toplevel: String,
    /// The version of NixOS.
    pub version: String,
    /// The release whose defaults the data of its VMs follow for their lives.
    pub state_version: String,
    /// Where its guests get their store from.
    pub store: StoreSource,
    /// What was asked for, by which builds of one kind are told from others.
    pub wanted: String,
}

/// Where a guest gets its store from, all of it read-only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum StoreSource {
    /// The host's own, over 9p.
    Host,
    /// A disk that holds what the system needs.
    Image {
        /// Its file, a path in the store.
        path: String,
        /// Its form.
        format: DiskFormat,
    },
}

/// Returns the present time as manifests have it.
pub fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

//! Disk images, by `qemu-img`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::diagnostic::{Diagnostic, Kind};
use crate::host::files::{self, FileError, failed};
use crate::host::process;
use crate::host::program::{self, ProcessError};
use crate::vm::size::DiskSize;

/// How long `qemu-img` may take; what it is asked for here takes milliseconds.
const LIMIT: Duration = Duration::from_secs(30);

/// The form of a disk image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiskFormat {
    /// Bytes as the guest sees them.
    #[default]
    Raw,
    /// QEMU's own.
    Qcow2,
}

impl DiskFormat {
    /// Returns QEMU's name for the form.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }
}

/// Why a disk cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// An image that leads to other files of this machine, or whose form is not known.
    #[error("`{}` cannot be used as an image: {reason}", path.display())]
    Unusable {
        /// The image.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The image is larger than the disk that is to lie over it.
    #[error("the image holds {needed_gib} GiB, more than the VM's disk of {size}")]
    TooSmall {
        /// The image's size, rounded up.
        needed_gib: u64,
        /// The disk's.
        size: DiskSize,
    },
    /// `qemu-img` failed.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Diagnostic for DiskError {
    fn kind(&self) -> Kind {
        match self {
            Self::Unusable { .. } => Kind::Failed,
            Self::TooSmall { .. } => Kind::Usage,
            Self::Process(error) => error.kind(),
            Self::File(error) => error.kind(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Unusable { .. } => Vec::new(),
            Self::TooSmall { needed_gib, .. } => vec![format!("give it more: `--storage {needed_gib}`")],
            Self::Process(error) => error.hints(),
            Self::File(error) => error.hints(),
        }
    }
}

/// What `qemu-img info` says of an image, as far as it matters here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Info {
    format: String,
    virtual_size: u64,
    backing_filename: Option<String>,
    #[serde(default)]
    format_specific: Option<FormatSpecific>,
}

#[derive(Debug, Deserialize)]
struct FormatSpecific {
    #[serde(default)]
    data: serde_json::Value,
}

/// What an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// Its form.
    pub format: DiskFormat,
    /// Its size as a guest sees it, in bytes.
    pub bytes: u64,
}

/// Inspects an image from a stranger. One that refers to other files is refused: those would be files of this
/// machine, shown to a guest.
pub fn inspect(path: &Path) -> Result<Inspected, DiskError> {
    let info = info(path)?;
    let unusable = |reason: &str| DiskError::Unusable { path: path.to_owned(), reason: reason.to_owned() };
    if info.backing_filename.is_some() {
        return Err(unusable("it lies over another file; flatten it with `qemu-img convert`"));
    }
    let data_file = info.format_specific.is_some_and(|specific| specific.data.get("data-file").is_some());
    if data_file {
        return Err(unusable("it keeps its data in another file; flatten it with `qemu-img convert`"));
    }
    let format = match info.format.as_str() {
        "qcow2" => DiskFormat::Qcow2,
        "raw" => DiskFormat::Raw,
        other => return Err(unusable(&format!("its form is `{other}`, neither qcow2 nor raw"))),
    };
    Ok(Inspected { format, bytes: info.virtual_size })
}

fn info(path: &Path) -> Result<Info, DiskError> {
    // `file:` keeps a name with a colon from being taken for a protocol.
    let mut name = std::ffi::OsString::from("file:");
    name.push(path);
    let text = process::output(qemu_img()?.args(["info", "--output=json"]).arg(name), LIMIT)?;
    serde_json::from_slice(&text).map_err(|error| {
        let reason = format!("qemu-img's description of it is not understood: {error}");
        DiskError::Unusable { path: path.to_owned(), reason }
    })
}

/// Makes an empty disk over an image: whole, or not there. `base` is relative to the disk's directory.
pub fn create_overlay(disk: &Path, base: &Path, format: DiskFormat, size: DiskSize) -> Result<(), DiskError> {
    let dir = disk.parent().unwrap_or(Path::new("."));
    let found = info(&dir.join(base))?.virtual_size;
    if found > size.bytes() {
        return Err(DiskError::TooSmall { needed_gib: found.div_ceil(1 << 30), size });
    }
    let half_made = disk.with_extension("new");
    files::remove_if_there(&half_made)?;
    let options = "lazy_refcounts=on,extended_l2=on,cluster_size=128k";
    let mut command = qemu_img()?;
    command.current_dir(dir).args(["create", "-q", "-f", "qcow2", "-o", options, "-F", format.name(), "-b"]);
    command.arg(base).arg(&half_made).arg(size.bytes().to_string());
    let made = process::output(&mut command, LIMIT).map_err(DiskError::from);
    let placed = made.and_then(|_| {
        std::fs::rename(&half_made, disk).map_err(failed("create", disk))?;
        Ok(files::sync_dir(dir)?)
    });
    if placed.is_err() {
        // The reason that matters is the first one.
        let _ = files::remove_if_there(&half_made);
    }
    placed
}

fn qemu_img() -> Result<Command, DiskError> {
    Ok(Command::new(program::find("qemu-img", "qemu-utils")?))
}

//! What can go wrong with images.

use std::path::PathBuf;

use crate::diagnostic::{Diagnostic, Kind};
use crate::guest::nixos::NixError;
use crate::host::files::FileError;
use crate::host::lock::LockError;
use crate::host::program::ProcessError;
use crate::qemu::disk::DiskError;

/// Why an image cannot be had, listed or removed.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// No image of that name.
    #[error("there is no image `{id}`")]
    NotFound {
        /// What was asked for.
        id: String,
    },
    /// Its description cannot be understood.
    #[error("the image in `{}` is damaged: {reason}", dir.display())]
    Damaged {
        /// Its directory.
        dir: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Something needs it right now.
    #[error("the image `{id}` is being made or used by another ai-vm")]
    Busy {
        /// The image.
        id: String,
    },
    /// VMs' disks lie over it.
    #[error("the image `{id}` is used by {vms}")]
    InUse {
        /// The image.
        id: String,
        /// The VMs, separated by commas.
        vms: String,
    },
    /// The file has another checksum than the one asked for.
    #[error("`{from}` has the SHA-256 checksum {found}, not {wanted}")]
    Checksum {
        /// The file or URL.
        from: String,
        /// The checksum asked for.
        wanted: String,
        /// The checksum it has.
        found: String,
    },
    /// It cannot be used as a disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Making it failed.
    #[error("the {what} could not be made")]
    Build {
        /// What was being made.
        what: &'static str,
        /// How the program that makes it failed.
        #[source]
        source: ProcessError,
    },
    /// Nix is not there.
    #[error("a NixOS guest is built by Nix, which is not installed")]
    NoNix,
    /// Nix did not build it.
    #[error(transparent)]
    Nix(#[from] Box<NixError>),
    /// The result of a build cannot be used.
    #[error("`{}` does not describe a system that can be run: {reason}", path.display())]
    Manifest {
        /// The description.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A program could not be run.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// A lock could not be had.
    #[error(transparent)]
    Lock(#[from] LockError),
}

impl Diagnostic for ImageError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotFound { .. } => Kind::NotFound,
            Self::Busy { .. } | Self::InUse { .. } => Kind::Conflict,
            Self::Process(error) | Self::Build { source: error, .. } => error.kind(),
            Self::File(error) => error.kind(),
            Self::Disk(error) => error.kind(),
            Self::Lock(error) => error.kind(),
            Self::NoNix => Kind::NotFound,
            Self::Nix(error) => error.kind(),
            Self::Damaged { .. } | Self::Checksum { .. } | Self::Manifest { .. } => Kind::Failed,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NotFound { .. } => vec!["`ai-vm image ls` lists them".to_owned()],
            Self::Damaged { dir, .. } => {
                let id = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
                vec![format!("remove it, it is made again when it is needed: `ai-vm image rm {id}`")]
            }
            Self::Busy { .. } => vec!["try again when that is done".to_owned()],
            Self::InUse { .. } => vec!["remove those VMs first: `ai-vm rm NAME`".to_owned()],
            Self::Build { source, .. } => {
                let mut hints = source.hints();
                hints.push("see what this machine lacks: `ai-vm doctor`".to_owned());
                hints
            }
            Self::Process(error) => error.hints(),
            Self::File(error) => error.hints(),
            Self::Disk(error) => error.hints(),
            Self::Lock(error) => error.hints(),
            Self::NoNix => vec![
                "install Nix 2.18 or newer, or take the guest that needs none: `--guest debian`".to_owned(),
            ],
            Self::Nix(error) => error.hints(),
            Self::Manifest { .. } => {
                vec![
                    "take a flake of the same version as ai-vm: `ai-vm config` shows which one it is"
                        .to_owned(),
                ]
            }
            Self::Checksum { .. } => Vec::new(),
        }
    }
}

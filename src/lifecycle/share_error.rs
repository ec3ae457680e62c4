//! Why a folder is not shared with a VM.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;

use crate::diagnostic::{Diagnostic, Kind};
use crate::lifecycle::folder::FolderError;
use crate::ssh::command::quoted;
use crate::vm::name::VmName;
use crate::vm::share::{MAX, ShareMode};
use crate::vm::share_policy::{Reason, Refused};

/// Why a folder is not, or no longer, shared.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    /// There is none.
    #[error("there is no folder `{}`", path.display())]
    NotThere {
        /// What was asked for.
        path: PathBuf,
    },
    /// It is something else.
    #[error("`{}` is not a folder", path.display())]
    NotAFolder {
        /// What was asked for.
        path: PathBuf,
    },
    /// This user cannot see what is in it.
    #[error("cannot open the folder `{}`", path.display())]
    Unreadable {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A path that cannot be kept in a record.
    #[error("the path `{}` is not valid UTF-8", path.display())]
    NotUtf8 {
        /// The folder.
        path: PathBuf,
    },
    /// It is not for guests.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The VM has it in the other way.
    #[error("`{}` is shared already, {mode}", path.display())]
    OtherMode {
        /// The folder.
        path: PathBuf,
        /// How it is shared.
        mode: ShareMode,
    },
    /// The disk of a VM is in it.
    #[error(transparent)]
    HasDisk(Box<FolderError>),
    /// QEMU and the guest could not tell it from another one.
    #[error("`{}` has the same mount tag as `{}`, which is shared already", path.display(), other.display())]
    SameTag {
        /// The folder.
        path: PathBuf,
        /// The other one.
        other: PathBuf,
    },
    /// The VM has as many as it can have.
    #[error("a VM cannot have more than {MAX} shares")]
    TooMany,
    /// Its file system cannot keep what a guest says of files apart from what holds here.
    #[error(
        "you are root, and the file system of `{}` keeps no extended attributes, without which a guest could \
         make files that run as root here",
        path.display()
    )]
    NoAttributes {
        /// The folder.
        path: PathBuf,
    },
    /// Its path leads elsewhere by now.
    #[error("`{}` leads to `{}` by now", path.display(), real.display())]
    Elsewhere {
        /// What was shared.
        path: PathBuf,
        /// Where that leads.
        real: PathBuf,
    },
    /// A VM that has it cannot be started.
    #[error("`{name}` cannot have its share `{}`", path.display())]
    Lost {
        /// The VM.
        name: VmName,
        /// The folder, as the record has it.
        path: PathBuf,
        /// Whether the guest may write.
        mode: ShareMode,
        /// Why not.
        #[source]
        error: Box<ShareError>,
    },
    /// The VM has none of this name or path.
    #[error("`{name}` has no share `{}`", given.escape_debug())]
    Unknown {
        /// The VM.
        name: VmName,
        /// What was given.
        given: String,
    },
}

impl Diagnostic for ShareError {
    fn kind(&self) -> Kind {
        match self {
            Self::HasDisk(error) => error.kind(),
            Self::NotThere { .. } | Self::Unknown { .. } => Kind::NotFound,
            Self::NotAFolder { .. } | Self::NotUtf8 { .. } | Self::TooMany => Kind::Usage,
            Self::OtherMode { .. } | Self::SameTag { .. } => Kind::Conflict,
            Self::Unreadable { source, .. } if source.kind() == io::ErrorKind::TimedOut => Kind::Timeout,
            Self::Unreadable { .. } | Self::NoAttributes { .. } | Self::Elsewhere { .. } => Kind::Failed,
            Self::Refused(error) => error.kind(),
            Self::Lost { error, .. } => error.kind(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::HasDisk(error) => error.hints(),
            Self::NotUtf8 { .. } | Self::SameTag { .. } => vec!["give the folder another name".to_owned()],
            Self::OtherMode { path, .. } => {
                let path = pasted(path.as_os_str());
                vec![format!("a VM has a folder once; `ai-vm share rm NAME {path}` takes it away")]
            }
            Self::TooMany => vec!["share a folder that has several of them in it".to_owned()],
            Self::NoAttributes { .. } => vec![
                "run ai-vm as an ordinary user, or share the folder read-only: `--ro`, `--share-ro`"
                    .to_owned(),
            ],
            Self::Refused(error) => error.hints(),
            Self::Lost { name, path, mode, error } => {
                let path = pasted(path.as_os_str());
                let mut hints = vec![format!("share it no longer: `ai-vm share rm {name} {path}`")];
                match error.as_ref() {
                    Self::Refused(Refused { reason, .. }) if !Reason::is_final(reason) => {
                        hints.push(format!("or insist: `ai-vm share add {name} --{mode} {path} --i-know`"));
                    }
                    Self::Elsewhere { real, .. } => {
                        let real = pasted(real.as_os_str());
                        hints.push(format!(
                            "if that is meant, then: `ai-vm share add {name} --{mode} {real}`"
                        ));
                    }
                    _ => {}
                }
                hints
            }
            Self::Unknown { name, .. } => vec![format!("`ai-vm share ls {name}` shows those that it has")],
            Self::NotThere { .. }
            | Self::NotAFolder { .. }
            | Self::Unreadable { .. }
            | Self::Elsewhere { .. } => Vec::new(),
        }
    }
}

/// Writes a word as a shell reads it.
fn pasted(word: &OsStr) -> String {
    String::from_utf8_lossy(&quoted(word)).into_owned()
}

//! Why what a repository says about its VM is not followed.

use std::path::PathBuf;

use crate::diagnostic::{Diagnostic, Kind};
use crate::host::files::FileError;
use crate::host::lock::LockError;
use crate::project::file::{FREE, GUARDED};

/// Why it is not.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// The file, or what the user has agreed to, cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Somebody else is at it.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// It does not say what it should.
    #[error("{}:{line}: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// It is a link, or something else that is no file.
    #[error("`{}` is not a plain file", path.display())]
    NotPlain {
        /// Where it is.
        path: PathBuf,
    },
    /// It is somebody else's.
    #[error("`{}` belongs to another user, and says nothing to you", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// It asks for something of this machine.
    #[error("`{}` asks for {}, which it may only when you trust it", path.display(), keys.join(", "))]
    NotTrusted {
        /// The file.
        path: PathBuf,
        /// The keys by which it does.
        keys: Vec<String>,
        /// Whether an older text of it was trusted.
        was: bool,
    },
    /// There is none.
    #[error("there is no `.ai-vm.toml` in or above `{}`", dir.display())]
    None {
        /// Where it was looked for.
        dir: PathBuf,
    },
    /// It has no name for its VM, and its folder's cannot be one.
    #[error("`{}` does not say what its VM is called, and the folder's name cannot be a VM's", path.display())]
    NoName {
        /// The file.
        path: PathBuf,
    },
}

impl Diagnostic for ProjectError {
    fn kind(&self) -> Kind {
        match self {
            Self::File(error) => error.kind(),
            Self::Lock(error) => error.kind(),
            Self::None { .. } => Kind::NotFound,
            Self::NotTrusted { .. } => Kind::Conflict,
            Self::Content { .. } | Self::NotPlain { .. } | Self::Foreign { .. } | Self::NoName { .. } => {
                Kind::Usage
            }
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::File(error) => error.hints(),
            Self::Lock(error) => error.hints(),
            Self::Content { .. } => {
                let named =
                    |keys: &[&str]| keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
                vec![
                    format!("known keys: {}", named(&FREE)),
                    format!("and, once it is trusted: {}", named(&GUARDED)),
                ]
            }
            Self::NotPlain { .. } | Self::Foreign { .. } => {
                vec!["name the VM, and the file is not looked at: `ai-vm up NAME`".to_owned()]
            }
            Self::NotTrusted { path, was, .. } => {
                let path = path.display();
                let mut hints = vec![format!("look at it and agree: `ai-vm trust '{path}'`")];
                hints.extend(was.then(|| "it has changed since you agreed to it".to_owned()));
                hints
            }
            Self::None { .. } => {
                vec!["write one, with a line like `name = \"web\"`, or name the VM".to_owned()]
            }
            Self::NoName { .. } => vec!["add a line like `name = \"web\"`, or name the VM".to_owned()],
        }
    }
}

//! What can go wrong with the registry as a whole.

use crate::diagnostic::{Diagnostic, Kind};
use crate::host::files::FileError;
use crate::host::lock::LockError;
use crate::registry::ports::ReserveError;
use crate::registry::record::BrokenRecord;
use crate::vm::name::VmName;

/// Why a registry operation failed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No VM of that name.
    #[error("there is no VM named `{name}`")]
    NotFound {
        /// The name.
        name: VmName,
        /// The existing name that it resembles most.
        similar: Option<VmName>,
    },
    /// The name is taken.
    #[error("a VM named `{name}` exists already")]
    Exists {
        /// The name.
        name: VmName,
    },
    /// The record cannot be understood.
    #[error("the VM `{name}` is broken")]
    Broken {
        /// The VM.
        name: VmName,
        /// What is wrong with its record.
        #[source]
        problem: BrokenRecord,
    },
    /// A port cannot be had.
    #[error(transparent)]
    Ports(#[from] ReserveError),
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// A lock could not be had.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The record could not be written down.
    #[error("the record of `{name}` cannot be written as TOML")]
    Encode {
        /// The VM.
        name: VmName,
        /// The reason.
        #[source]
        source: toml::ser::Error,
    },
}

impl Diagnostic for RegistryError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotFound { .. } => Kind::NotFound,
            Self::Exists { .. } => Kind::Conflict,
            Self::Ports(error) => error.kind(),
            Self::File(error) => error.kind(),
            Self::Lock(error) => error.kind(),
            Self::Broken { .. } | Self::Encode { .. } => Kind::Failed,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NotFound { similar: Some(similar), .. } => vec![format!("did you mean `{similar}`?")],
            Self::NotFound { name, similar: None } => {
                vec![format!("`ai-vm up {name}` creates and starts it")]
            }
            Self::Exists { name } => {
                vec![format!("`ai-vm up {name}` starts it, `ai-vm rm {name}` removes it")]
            }
            Self::Broken { name, problem } => vec![
                format!("mend the file with an editor: `{}`", problem.file.display()),
                format!("or remove the VM and its disk: `ai-vm rm {name}`"),
            ],
            Self::Ports(error) => error.hints(),
            Self::File(error) => error.hints(),
            Self::Lock(error) => error.hints(),
            Self::Encode { .. } => Vec::new(),
        }
    }
}

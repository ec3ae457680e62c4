//! Why the keys of a VM were not changed.

use crate::diagnostic::{Diagnostic, Kind};
use crate::ssh::error::ConnectError;
use crate::ssh::session::SessionError;
use crate::vm::name::VmName;

/// Why the keys of a VM were not changed, or not wholly.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// They are somebody else's.
    #[error("`{name}` is run by something else, and its keys are not ai-vm's to change")]
    NotOurs {
        /// The machine.
        name: VmName,
    },
    /// The guest has the key on its own disk, which nobody but the guest can write to.
    #[error("`{name}` has its login key on its own disk, so it has to run for that")]
    OnItsDisk {
        /// The VM.
        name: VmName,
    },
    /// The guest did not do what it was told. Nothing has changed.
    #[error("the guest of `{name}` did not take the new key; the old one stays in use")]
    NotTaken {
        /// The VM.
        name: VmName,
        /// The reason, where it is the connection.
        #[source]
        source: Option<Box<SessionError>>,
    },
    /// The new key does not log in. Nothing has changed.
    #[error("the new key does not log in to `{name}`; the old one stays in use")]
    NotProven {
        /// The VM.
        name: VmName,
        /// How the login failed.
        #[source]
        source: Box<ConnectError>,
    },
    /// The new key is in use, and so is the old one still.
    #[error(
        "`{name}` has a new key, but the old one could not be taken from the guest, which still lets it in"
    )]
    OldStays {
        /// The VM.
        name: VmName,
        /// The reason, where it is the connection.
        #[source]
        source: Option<Box<SessionError>>,
    },
}

impl Diagnostic for RotateError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotOurs { .. } => Kind::Usage,
            Self::OnItsDisk { .. } => Kind::Conflict,
            Self::NotProven { source, .. } => source.kind(),
            Self::NotTaken { .. } | Self::OldStays { .. } => Kind::Failed,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NotOurs { name } => vec![format!(
                "change them there; if it gets another host key, `ai-vm rm {name}` and adopt it again"
            )],
            Self::OnItsDisk { name } => {
                vec![format!("`ai-vm start {name} && ai-vm ssh-keys rotate {name}`")]
            }
            Self::NotTaken { name, .. } => {
                vec![format!(
                    "the user in it needs `sudo` without a password: `ai-vm exec {name} -- sudo -n true`"
                )]
            }
            Self::NotProven { .. } => Vec::new(),
            Self::OldStays { name, .. } => vec![format!("try again: `ai-vm ssh-keys rotate {name}`")],
        }
    }
}

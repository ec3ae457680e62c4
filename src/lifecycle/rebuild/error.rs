//! Why a guest was not rebuilt, or why it is not known how that ended.

use crate::diagnostic::{Diagnostic, Kind, LOST};
use crate::lifecycle::apart::ApartError;
use crate::lifecycle::error::LifecycleError;
use crate::vm::name::VmName;

/// The exit code when nothing was begun, as `exec` has it.
const NOT_BEGUN: u8 = 125;

/// The exit code when nobody reads the log any more, as the shell reports SIGPIPE.
const PIPE_CLOSED: u8 = 141;

/// What a guest lacks that cannot rebuild itself.
pub(super) const NO_COMMAND: &str = "there is no command `rebuild`";

/// Why a guest was not rebuilt, or why it is not known how that ended.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// It was not reached.
    #[error(transparent)]
    NotReached(#[from] LifecycleError),
    /// It cannot do this.
    #[error("`{name}` cannot be rebuilt from here: {what}{}", after_colon(said))]
    Unable {
        /// The VM.
        name: VmName,
        /// What it lacks.
        what: &'static str,
        /// What it said about that, not filtered.
        said: String,
    },
    /// There has been none.
    #[error("no rebuild of `{name}` has been asked for from here, so there is no log")]
    NoLog {
        /// The VM.
        name: VmName,
    },
    /// Its own end was a failure.
    #[error("the rebuild in `{name}` failed with exit code {code}")]
    Failed {
        /// The VM.
        name: VmName,
        /// The exit code.
        code: u8,
    },
    /// It ended without an exit code.
    #[error("the rebuild in `{name}` did not come to its end: it was killed, or the VM went down")]
    NoEnd {
        /// The VM.
        name: VmName,
    },
    /// The connection was lost and could not be had again.
    #[error("the connection to `{name}` was lost; the rebuild goes on there if the VM does")]
    Lost {
        /// The VM.
        name: VmName,
        /// Why it could not be had again.
        #[source]
        last: Box<LifecycleError>,
    },
    /// Nobody reads the log here.
    #[error("nobody reads the log of `{name}` any more; the rebuild goes on there")]
    Unread {
        /// The VM.
        name: VmName,
    },
}

impl RebuildError {
    /// Says it of a VM's rebuild.
    pub(super) fn apart(name: &VmName, error: ApartError) -> Self {
        let name = name.clone();
        match error {
            ApartError::NotReached(error) => Self::NotReached(error),
            ApartError::Lost(last) => Self::Lost { name, last },
            ApartError::Unread => Self::Unread { name },
        }
    }
}

fn after_colon(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

impl Diagnostic for RebuildError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotReached(error) => error.kind(),
            Self::NoLog { .. } => Kind::NotFound,
            _ => Kind::Failed,
        }
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::NotReached(_) | Self::Unable { .. } => NOT_BEGUN,
            Self::NoLog { .. } => Kind::NotFound.exit_code(),
            Self::Failed { code, .. } => *code,
            Self::NoEnd { .. } | Self::Lost { .. } => LOST,
            Self::Unread { .. } => PIPE_CLOSED,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NotReached(error) => error.hints(),
            Self::Unable { name, what, .. } => {
                let needs = "a guest needs systemd, a command `rebuild`, and `sudo` without a password";
                let older = format!("a VM that is outdated can lack it: `ai-vm info {name}`");
                [needs.to_owned()].into_iter().chain((*what == NO_COMMAND).then_some(older)).collect()
            }
            Self::NoLog { name } => vec![format!("`ai-vm rebuild {name}` begins one")],
            Self::Failed { name, .. } => {
                vec![format!("its log can be had again: `ai-vm rebuild {name} --log`")]
            }
            Self::NoEnd { name } => vec![format!("begin again: `ai-vm rebuild {name}`")],
            Self::Lost { name, .. } | Self::Unread { name } => {
                vec![format!("follow it again: `ai-vm rebuild {name}`")]
            }
        }
    }
}

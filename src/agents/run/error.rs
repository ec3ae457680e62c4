//! Why an agent without a terminal was not run, or why it is not known how it ended.

use crate::agents::agent::AgentId;
use crate::diagnostic::{Diagnostic, Kind, LOST};
use crate::host::files::FileError;
use crate::lifecycle::apart::ApartError;
use crate::lifecycle::error::LifecycleError;
use crate::vm::name::VmName;

/// The exit code when nothing was begun, as `exec` has it.
const NOT_BEGUN: u8 = 125;

/// The exit code when nobody reads the log any more, as the shell reports SIGPIPE.
const PIPE_CLOSED: u8 = 141;

/// The exit code of what was told to end, as the shell reports SIGTERM.
const TERMINATED: u8 = 143;

/// The exit code of timeout(1) where its program took too long.
const TOOK_TOO_LONG: u8 = 124;

/// The exit code of start-claude where there is no login.
const NO_LOGIN: u8 = 77;

/// Why an agent was not run, or why it is not known how it ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The VM was not reached.
    #[error(transparent)]
    NotReached(#[from] LifecycleError),
    /// What it says cannot be kept here.
    #[error("cannot keep what the agent says")]
    NotKept(#[from] FileError),
    /// The guest cannot do this.
    #[error("`{name}` cannot run it: {what}{}", after_colon(said))]
    Unable {
        /// The VM.
        name: VmName,
        /// What it lacks.
        what: &'static str,
        /// What it said about that, not filtered.
        said: String,
    },
    /// There is no such agent.
    #[error("there is no run {id} in `{name}`")]
    Nothing {
        /// The VM.
        name: VmName,
        /// The agent.
        id: AgentId,
    },
    /// Its own end was a failure.
    #[error("the run {id} in `{name}` failed with exit code {code}{}", after_colon(said))]
    Failed {
        /// The VM.
        name: VmName,
        /// The agent.
        id: AgentId,
        /// The exit code.
        code: u8,
        /// What it said about that, not filtered.
        said: String,
    },
    /// It was stopped.
    #[error("the run {id} in `{name}` was stopped")]
    Stopped {
        /// The VM.
        name: VmName,
        /// The agent.
        id: AgentId,
    },
    /// It ended without an exit code.
    #[error("the run {id} in `{name}` did not come to its end: it was killed, or the VM went down")]
    NoEnd {
        /// The VM.
        name: VmName,
        /// The agent.
        id: AgentId,
    },
    /// The connection was lost and could not be had again.
    #[error("the connection to `{name}` was lost; the run {id} goes on there if the VM does")]
    Lost {
        /// The VM.
        name: VmName,
        /// The agent.
        id: AgentId,
        /// Why it could not be had again.
        #[source]
        last: Box<LifecycleError>,
    },
    /// Nobody reads the log here.
    #[error("nobody reads what the run {id} in `{name}` says any more; it goes on there")]
    Unread {
        /// The VM.
        name: VmName,
        /// The agent.
        id: AgentId,
    },
}

impl RunError {
    /// Says it of a run.
    pub(super) fn apart(name: &VmName, id: &AgentId, error: ApartError) -> Self {
        let (name, id) = (name.clone(), id.clone());
        match error {
            ApartError::NotReached(error) => Self::NotReached(error),
            ApartError::Lost(last) => Self::Lost { name, id, last },
            ApartError::Unread => Self::Unread { name, id },
        }
    }
}

fn after_colon(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

impl Diagnostic for RunError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotReached(error) => error.kind(),
            Self::Nothing { .. } => Kind::NotFound,
            Self::Failed { code: TOOK_TOO_LONG, .. } => Kind::Timeout,
            _ => Kind::Failed,
        }
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::NotReached(_) | Self::NotKept(_) | Self::Unable { .. } => NOT_BEGUN,
            Self::Nothing { .. } => Kind::NotFound.exit_code(),
            Self::Failed { code, .. } => *code,
            Self::Stopped { .. } => TERMINATED,
            Self::NoEnd { .. } | Self::Lost { .. } => LOST,
            Self::Unread { .. } => PIPE_CLOSED,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NotReached(error) => error.hints(),
            Self::NotKept(error) => error.hints(),
            Self::Nothing { name, .. } => vec![format!("see what there is: `ai-vm agents {name}`")],
            Self::Unable { .. } | Self::Stopped { .. } => Vec::new(),
            Self::Failed { name, code: NO_LOGIN, .. } => {
                vec![format!(
                    "log in: `ai-vm creds set {name} --token -`, or /login in `ai-vm claude {name}`"
                )]
            }
            Self::Failed { name, id, code: TOOK_TOO_LONG, .. } => vec![
                format!("its log: `ai-vm agents logs {name} {id}`"),
                "124 is what a limit of time gives: `--run-timeout 2h` is a longer one".to_owned(),
            ],
            Self::Failed { name, id, .. } | Self::NoEnd { name, id } => {
                vec![format!("its log: `ai-vm agents logs {name} {id}`")]
            }
            Self::Lost { name, id, .. } | Self::Unread { name, id } => {
                vec![format!("follow it again: `ai-vm agents logs -f {name} {id}`")]
            }
        }
    }
}

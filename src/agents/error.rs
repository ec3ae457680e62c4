//! Why something could not be done with an agent.

use std::time::Duration;

use crate::agents::agent::{AgentId, State};
use crate::diagnostic::{Diagnostic, Kind};
use crate::lifecycle::error::LifecycleError;
use crate::vm::name::VmName;

/// Why something could not be done with an agent.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Its VM was not reached.
    #[error(transparent)]
    NotReached(Box<LifecycleError>),
    /// Its VM did not answer in time.
    #[error("`{name}` did not say anything about its agents within {} s", limit.as_secs_f64())]
    NoAnswer {
        /// The VM.
        name: VmName,
        /// How long it had.
        limit: Duration,
    },
    /// Its VM answered something else.
    #[error("what `{name}` says about its agents is not understood: {what}")]
    NotUnderstood {
        /// The VM.
        name: VmName,
        /// What is wrong with it.
        what: &'static str,
    },
    /// There is none that is meant.
    #[error("there is no {what} in `{name}`{}", beginning(id.as_deref()))]
    Nothing {
        /// The VM.
        name: VmName,
        /// What was looked for.
        what: &'static str,
        /// The beginning of the ID that was given.
        id: Option<String>,
    },
    /// Several could be meant.
    #[error("there are several in `{name}`: {}", listed(ids))]
    Several {
        /// The VM.
        name: VmName,
        /// Their IDs.
        ids: Vec<AgentId>,
        /// What was typed before the name of the VM.
        verb: &'static str,
    },
    /// It has ended.
    #[error("the agent {id} in `{name}` has ended")]
    Ended {
        /// The VM.
        name: VmName,
        /// The agent.
        id: AgentId,
    },
    /// It ended before what was waited for.
    #[error("the agent {id} in `{name}` ended before that: {state}")]
    EndedBefore {
        /// The VM.
        name: VmName,
        /// The agent.
        id: AgentId,
        /// How.
        state: State,
    },
    /// It was waited for in vain.
    #[error("the agent {id} in `{name}` was waited for in vain for {} s; it is {state}", limit.as_secs())]
    NotInTime {
        /// The VM.
        name: VmName,
        /// The agent.
        id: AgentId,
        /// What it did at last.
        state: State,
        /// How long.
        limit: Duration,
    },
    /// One is there already.
    #[error("an agent is at work in `{name}` already: {id}")]
    There {
        /// The VM.
        name: VmName,
        /// The agent.
        id: AgentId,
    },
    /// The guest cannot do this.
    #[error("`{name}` cannot do this: {what}{}", after_colon(said))]
    Unable {
        /// The VM.
        name: VmName,
        /// What it lacks.
        what: &'static str,
        /// What it said about that, not filtered.
        said: String,
        /// What can be done about it.
        hint: Option<String>,
    },
}

impl From<LifecycleError> for AgentError {
    fn from(error: LifecycleError) -> Self {
        Self::NotReached(Box::new(error))
    }
}

fn beginning(id: Option<&str>) -> String {
    id.map(|id| format!(" whose ID begins with {id}")).unwrap_or_default()
}

fn listed(ids: &[AgentId]) -> String {
    ids.iter().map(AgentId::as_str).collect::<Vec<_>>().join(", ")
}

fn after_colon(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

impl Diagnostic for AgentError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotReached(error) => error.kind(),
            Self::NoAnswer { .. } | Self::NotInTime { .. } => Kind::Timeout,
            Self::Nothing { .. } => Kind::NotFound,
            Self::Several { .. } => Kind::Usage,
            Self::Ended { .. } | Self::There { .. } => Kind::Conflict,
            Self::NotUnderstood { .. } | Self::EndedBefore { .. } | Self::Unable { .. } => Kind::Failed,
        }
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::NotReached(error) => error.exit_code(),
            other => other.kind().exit_code(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NotReached(error) => error.hints(),
            Self::NoAnswer { name, .. } => vec![format!("see whether it runs: `ai-vm info {name}`")],
            Self::NotUnderstood { .. } => Vec::new(),
            Self::Nothing { name, .. } => {
                vec![format!("see what there is: `ai-vm agents {name}`, or begin one: `ai-vm claude {name}`")]
            }
            Self::Several { name, ids, verb } => {
                let first = ids.first().map(AgentId::as_str).unwrap_or_default();
                let first = first.get(..4).unwrap_or_default();
                vec![format!("say which: `ai-vm {verb} {name} {first}`; `ai-vm agents {name}` shows them")]
            }
            Self::Ended { name, id } | Self::EndedBefore { name, id, .. } => {
                vec![format!("see what it said: `ai-vm agents logs {name} {id}`")]
            }
            Self::NotInTime { name, id, .. } => {
                vec![format!(
                    "look what it does: `ai-vm agents logs {name} {id}`, or wait longer: `--timeout 1h`"
                )]
            }
            Self::There { name, id } => vec![
                format!("give it the prompt: `ai-vm agents send {name} {id} -- PROMPT`"),
                "or begin another one: `--new`".to_owned(),
            ],
            Self::Unable { hint, .. } => hint.iter().cloned().collect(),
        }
    }
}

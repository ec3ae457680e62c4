//! Why a login did not get where it should.

use std::path::PathBuf;

use crate::claude::account::Account;
use crate::claude::credentials::{Malformed, Millis};
use crate::claude::login::host::HostProblem;
use crate::claude::login::token::TokenError;
use crate::diagnostic::{Diagnostic, Kind};
use crate::host::files::FileError;
use crate::host::lock::LockError;
use crate::lifecycle::error::LifecycleError;
use crate::registry::error::RegistryError;
use crate::vm::login_mode::LoginMode;
use crate::vm::name::VmName;

/// Why the login that is in a VM is not taken, nor overwritten.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is somebody else's.
    #[error("it is that of {theirs}, not that of {ours}")]
    OtherAccount {
        /// Whose it is, as the VM says.
        theirs: Box<Account>,
        /// Whose it should be.
        ours: Box<Account>,
    },
    /// It expires when no login does.
    #[error("it is said to expire at {expires}, which is too far away for a login")]
    Implausible {
        /// When.
        expires: Millis,
    },
    /// It is not what Claude Code writes.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// There is something else in its place.
    #[error("it is {what}, not a file")]
    NotAFile {
        /// What.
        what: &'static str,
    },
}

/// Why a login did not get where it should.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The VM was not reached.
    #[error(transparent)]
    NotReached(Box<LifecycleError>),
    /// It was reached, and did not answer in time.
    #[error("`{name}` did not answer within {seconds} s when it was asked for its login")]
    NoAnswer {
        /// The VM.
        name: VmName,
        /// How long it was waited for.
        seconds: u64,
    },
    /// What it answered is not what the script there says.
    #[error("`{name}` gave an answer about its login that is none: {what}")]
    NotUnderstood {
        /// The VM.
        name: VmName,
        /// What was seen.
        what: &'static str,
    },
    /// It cannot do this.
    #[error("the login of `{name}` cannot be changed: {what}{}", after_colon(said))]
    Unable {
        /// The VM.
        name: VmName,
        /// What is in the way.
        what: &'static str,
        /// What it said about that, not filtered.
        said: String,
    },
    /// What is there is left alone.
    #[error("the login in `{name}` was not taken and not overwritten: {reason}")]
    Refused {
        /// The VM.
        name: VmName,
        /// Why.
        reason: Refusal,
    },
    /// It changed again and again while it was to be replaced.
    #[error("the login in `{name}` changes all the time")]
    Unsteady {
        /// The VM.
        name: VmName,
    },
    /// The login on this machine is another one's than before.
    #[error("this machine is now logged in as {host}, the login that ai-vm keeps is that of {kept}")]
    OtherAccountHere {
        /// Whose login this machine has.
        host: Box<Account>,
        /// Whose is kept.
        kept: Box<Account>,
    },
    /// There is no login to be copied.
    #[error("there is no login to be copied into VMs")]
    NoLogin(#[source] HostProblem),
    /// The login cannot be renewed any more.
    #[error("the login ended at {ended} and cannot be renewed")]
    Ended {
        /// When.
        ended: Millis,
    },
    /// This machine's own login was not changed.
    #[error("the login of this machine was not changed: {reason}")]
    HostNotChanged {
        /// Why.
        reason: String,
    },
    /// There is no token.
    #[error("there is no token for `{name}`")]
    NoToken {
        /// The VM.
        name: VmName,
    },
    /// Its mode was changed, and it runs.
    #[error("`{name}` has the mode `{mode}` from now on, but it has not got its login")]
    NotGiven {
        /// The VM.
        name: VmName,
        /// The mode.
        mode: LoginMode,
        /// Why not.
        #[source]
        error: Box<LoginError>,
    },
    /// Its mode is `none`.
    #[error("`{name}` is given no login by ai-vm")]
    NoMode {
        /// The VM.
        name: VmName,
    },
    /// What is kept here cannot be read.
    #[error("the login that is kept in `{}` cannot be used: {reason}", path.display())]
    Kept {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// With the VM the newest login might go.
    #[error("`{name}` may have the newest login of all, which would be lost with it")]
    LastCopy {
        /// The VM.
        name: VmName,
    },
    /// See there.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// See there.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// See there.
    #[error(transparent)]
    File(#[from] FileError),
    /// See there.
    #[error(transparent)]
    Lock(#[from] LockError),
}

impl From<LifecycleError> for LoginError {
    fn from(error: LifecycleError) -> Self {
        Self::NotReached(Box::new(error))
    }
}

fn after_colon(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

impl Diagnostic for LoginError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotReached(error) => error.kind(),
            Self::NoAnswer { .. } => Kind::Timeout,
            Self::OtherAccountHere { .. } | Self::LastCopy { .. } => Kind::Conflict,
            Self::Refused { reason: Refusal::OtherAccount { .. }, .. } => Kind::Conflict,
            Self::NoToken { .. } => Kind::NotFound,
            Self::NoLogin(problem) => problem.kind(),
            Self::NotGiven { error, .. } => error.kind(),
            Self::NoMode { .. } => Kind::Usage,
            Self::Token(error) => error.kind(),
            Self::Registry(error) => error.kind(),
            Self::File(error) => error.kind(),
            Self::Lock(error) => error.kind(),
            _ => Kind::Failed,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NotReached(error) => error.hints(),
            Self::NoAnswer { name, .. } | Self::Unsteady { name } => {
                vec![format!("try again: `ai-vm creds push {name}`")]
            }
            Self::Unable { name, .. } => vec![format!("look at it: `ai-vm exec {name} -- df -h .`")],
            Self::Refused { name, .. } => vec![
                format!("leave it there: `ai-vm creds set {name} --mode none`"),
                format!("or remove it, then give it yours: `ai-vm creds wipe {name}`"),
            ],
            Self::OtherAccountHere { .. } => vec![
                "to go on with this machine's login, forget the one that is kept: `ai-vm creds wipe --store`"
                    .to_owned(),
            ],
            Self::NoLogin(problem) => problem.hints(),
            Self::NotGiven { error, .. } => error.hints(),
            Self::Ended { .. } => vec!["log in again on this machine: `claude`, then `/login`".to_owned()],
            Self::HostNotChanged { .. } => vec!["`ai-vm creds status` shows who has what".to_owned()],
            Self::NoToken { name } => vec![
                format!("make one with `claude setup-token`, then `ai-vm creds set {name} --token -`"),
                "or give one to all VMs that have none: `ai-vm creds set --default --token -`".to_owned(),
            ],
            Self::NoMode { name } => vec![format!("choose: `ai-vm creds set {name} --mode copy`")],
            Self::Kept { .. } => vec!["forget it: `ai-vm creds wipe --store`".to_owned()],
            Self::LastCopy { name } => vec![
                format!("fetch it first: `ai-vm start {name}`, then `ai-vm creds pull {name}`"),
                format!(
                    "or let it go: `ai-vm rm --force {name}`, or `ai-vm creds set {name} --mode none` first"
                ),
            ],
            Self::Token(error) => error.hints(),
            Self::Registry(error) => error.hints(),
            Self::File(error) => error.hints(),
            Self::Lock(error) => error.hints(),
            Self::NotUnderstood { .. } => Vec::new(),
        }
    }
}

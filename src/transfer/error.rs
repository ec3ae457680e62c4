//! Why a copy ended before its end.

use std::io;
use std::path::PathBuf;

use crate::diagnostic::{Diagnostic, Kind, LOST};
use crate::lifecycle::error::LifecycleError;
use crate::ssh::command::TooLong;
use crate::ssh::session::SessionError;
use crate::transfer::name::BadName;
use crate::vm::name::VmName;

/// Why a guest's stream is not followed any further.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// It ended too early.
    #[error("what the VM sent ended in the middle")]
    Cut,
    /// It is not what tar writes.
    #[error("what the VM sent is not what tar writes: {0}")]
    Malformed(&'static str),
    /// A name leads elsewhere.
    #[error("the VM sent a file named `{name}`, which is refused: {reason}")]
    Name {
        /// The name, escaped.
        name: String,
        /// What is wrong with it.
        reason: BadName,
    },
    /// Something was sent that nobody asked for.
    #[error("the VM sent `{name}`, which was not asked for")]
    Unasked {
        /// The name, escaped.
        name: String,
    },
    /// A kind of entry that is not taken from a guest.
    #[error("the VM sent `{name}`, which is {kind}; that is refused")]
    Refused {
        /// The name, escaped.
        name: String,
        /// What it is.
        kind: &'static str,
    },
    /// More than is taken.
    #[error("the VM sent more than {limit} {what}, which is the most that is taken at once")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// How many.
        limit: u64,
    },
    /// It could not be read.
    #[error("cannot receive what the VM sends")]
    Io(#[source] io::Error),
}

/// Ends a copy on its way.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// Because of what the guest sent.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// Because nothing more can be written here.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// What was written.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Because what is copied cannot be read here.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// What was read.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The other side takes no more; it knows why.
    #[error("the other side takes no more")]
    Closed,
}

/// Why nothing, or not everything, was copied.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// It cannot be done as it was asked.
    #[error("{message}")]
    Usage {
        /// What is wrong, with the value.
        message: String,
        /// What to type instead.
        hint: String,
    },
    /// A file here cannot be used.
    #[error("cannot {action} `{}`", path.display())]
    Host {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The VM cannot be reached.
    #[error(transparent)]
    Reach(Box<LifecycleError>),
    /// The connection, or the command, broke.
    #[error("{name}: {source}")]
    Session {
        /// The VM.
        name: VmName,
        /// What happened.
        source: SessionError,
    },
    /// Nothing moves any more.
    #[error("{name}: the VM has neither sent nor taken anything for {seconds} s")]
    Stalled {
        /// The VM.
        name: VmName,
        /// How long.
        seconds: u64,
    },
    /// The VM said no.
    #[error("{name}: {message}")]
    Guest {
        /// The VM.
        name: VmName,
        /// What is wrong there. Not filtered.
        message: String,
        /// What can be done about it.
        hint: Option<String>,
    },
    /// Some files were not copied; which, has been reported.
    #[error("{count} of the files could not be copied or removed")]
    Incomplete {
        /// How many.
        count: u64,
    },
    /// The copy ended on its way.
    #[error(transparent)]
    Stopped(#[from] Stop),
    /// It was told to end.
    #[error("told to end")]
    Cancelled(u8),
    /// It is too long to be sent.
    #[error(transparent)]
    TooLong(#[from] TooLong),
}

impl TransferError {
    /// The VM cannot be reached.
    pub fn reach(error: LifecycleError) -> Self {
        Self::Reach(Box::new(error))
    }
}

impl Diagnostic for TransferError {
    fn kind(&self) -> Kind {
        match self {
            Self::Usage { .. } => Kind::Usage,
            Self::Host { source, .. } if source.kind() == io::ErrorKind::NotFound => Kind::NotFound,
            Self::Reach(error) => error.kind(),
            Self::TooLong(_) => Kind::Usage,
            _ => Kind::Failed,
        }
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::Cancelled(code) => *code,
            Self::Session { source: SessionError::Lost(_), .. } | Self::Stalled { .. } => LOST,
            error => error.kind().exit_code(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Usage { hint, .. } => vec![hint.clone()],
            Self::Reach(error) => error.hints(),
            Self::Session { name, .. } | Self::Stalled { name, .. } => {
                vec![format!("see whether it runs: `ai-vm info {name}`")]
            }
            Self::Guest { hint, .. } => hint.iter().cloned().collect(),
            Self::TooLong(_) => vec!["name fewer files at once, or a directory with `-r`".to_owned()],
            Self::Stopped(Stop::Write { source, .. }) if source.kind() == io::ErrorKind::StorageFull => {
                vec!["free some space here; the file that did not fit is not there".to_owned()]
            }
            _ => Vec::new(),
        }
    }
}

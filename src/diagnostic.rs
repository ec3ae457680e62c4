//! What every error of ai-vm can say about itself: its kind, which decides the exit code, and hints that
//! can be pasted. Knows nothing of any other room.

use std::error::Error;

/// The exit code when the connection was lost while something ran.
pub const LOST: u8 = 255;

/// What sort of failure an error is. The numbers are part of the command line's contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The operation was tried and failed.
    Failed,
    /// The request itself makes no sense: a bad flag, name, size or port.
    Usage,
    /// A VM, image or file that was named does not exist.
    NotFound,
    /// What was asked for collides with something that exists: a name, a port, a running VM.
    Conflict,
    /// A deadline passed.
    Timeout,
}

impl Kind {
    /// Returns the process exit code for this kind of failure.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Conflict => 4,
            Self::Timeout => 5,
        }
    }

    /// Returns the name of this kind, for programs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Timeout => "timeout",
        }
    }
}

/// An error that can be shown to a person: message and cause chain by [`Error`], exit code and hints by this.
pub trait Diagnostic: Error + Send + Sync + 'static {
    /// Returns what sort of failure this is.
    fn kind(&self) -> Kind {
        Kind::Failed
    }

    /// Returns the process exit code for this failure.
    fn exit_code(&self) -> u8 {
        self.kind().exit_code()
    }

    /// Returns what the user can do next, each a full line, commands in backticks so that they can be pasted.
    fn hints(&self) -> Vec<String> {
        Vec::new()
    }
}

impl<E: Diagnostic> From<E> for Box<dyn Diagnostic> {
    fn from(error: E) -> Self {
        Box::new(error)
    }
}

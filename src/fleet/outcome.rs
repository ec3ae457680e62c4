//! What a command came to in each VM.

use std::time::Duration;

use crate::diagnostic::{Diagnostic, LOST};
use crate::lifecycle::error::LifecycleError;
use crate::ssh::session::SessionError;
use crate::vm::name::VmName;

/// The exit code when ai-vm failed before the command ran.
pub const NOT_RUN: u8 = 125;

/// The exit code when the command took longer than it was allowed, as timeout(1) has it.
const TOOK_TOO_LONG: u8 = 124;

/// The exit code when the command was ended because another one had failed: that of TERM.
const CANCELLED: u8 = 143;

/// How a command ended in one VM.
#[derive(Debug)]
pub enum End {
    /// With this exit code of its own.
    Exited(u8),
    /// It was not run.
    NotRun(LifecycleError),
    /// The connection was lost, or the command was refused.
    Broken(SessionError),
    /// It took longer than it was allowed.
    TookTooLong(Duration),
    /// It was ended, or not begun, because another one had failed.
    Cancelled,
}

/// What a command came to in one VM.
#[derive(Debug)]
pub struct Outcome {
    /// The VM.
    pub name: VmName,
    /// How it ended.
    pub end: End,
    /// How long it took, connecting included.
    pub took: Duration,
}

impl End {
    /// Returns the exit code.
    pub const fn code(&self) -> u8 {
        match self {
            Self::Exited(code) => *code,
            Self::NotRun(_) => NOT_RUN,
            Self::Broken(SessionError::Lost(_)) => LOST,
            Self::Broken(_) => NOT_RUN,
            Self::TookTooLong(_) => TOOK_TOO_LONG,
            Self::Cancelled => CANCELLED,
        }
    }

    /// Tells in one word, for programs, how it ended.
    pub const fn result(&self) -> &'static str {
        match self {
            Self::Exited(0) => "ok",
            Self::Cancelled => "cancelled",
            Self::Exited(_) | Self::NotRun(_) | Self::Broken(_) | Self::TookTooLong(_) => "failed",
        }
    }

    /// Returns the error, where there is one.
    pub fn error(&self) -> Option<&dyn Diagnostic> {
        match self {
            Self::NotRun(error) => Some(error),
            Self::Broken(error) => Some(error),
            Self::Exited(_) | Self::TookTooLong(_) | Self::Cancelled => None,
        }
    }

    /// Says in a few words why the command did not succeed; `None` when it did, or when its exit code says all.
    pub fn reason(&self) -> Option<String> {
        match self {
            Self::Exited(_) => None,
            Self::TookTooLong(limit) => Some(format!("took longer than {} s", limit.as_secs())),
            Self::Cancelled => Some("ended because another one failed".to_owned()),
            Self::NotRun(_) | Self::Broken(_) => self.error().map(with_causes),
        }
    }
}

/// Returns what an error says, with the causes behind it, on one line.
pub fn with_causes(error: &dyn Diagnostic) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Returns one exit code for many: 0 when all are, that of the others when they agree, else 1.
pub fn exit_code(codes: impl IntoIterator<Item = u8>) -> u8 {
    let mut failed = codes.into_iter().filter(|code| *code != 0);
    match failed.next() {
        None => 0,
        Some(first) if failed.all(|code| code == first) => first,
        Some(_) => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::exit_code;

    #[test]
    fn one_code_for_all() {
        for (codes, one) in [(vec![], 0), (vec![0, 0], 0), (vec![0, 3], 3), (vec![3, 3], 3), (vec![3, 4], 1)]
        {
            assert_eq!(exit_code(codes.clone()), one, "{codes:?}");
        }
    }
}

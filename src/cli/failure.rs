//! How a command fails: an error of any room, or several that have been shown already.

use std::ffi::OsString;
use std::io;

use crate::diagnostic::{Diagnostic, Kind};
use crate::ssh::command::quoted;
use crate::ui::terminal::Terminal;

/// What a command returns when it did not do what was asked.
#[derive(Debug)]
pub enum Failure {
    /// An error that is still to be shown.
    Error(Box<dyn Diagnostic>),
    /// An error that is still to be shown, with an exit code of its own.
    WithCode(Box<dyn Diagnostic>, u8),
    /// Everything has been said; only the exit code is left.
    Shown(u8),
}

impl<E: Diagnostic> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Error(Box::new(error))
    }
}

impl From<Box<dyn Diagnostic>> for Failure {
    fn from(error: Box<dyn Diagnostic>) -> Self {
        Self::Error(error)
    }
}

impl Failure {
    /// Gives the failure an exit code of its own.
    pub fn with_code(error: impl Diagnostic, code: u8) -> Self {
        Self::WithCode(Box::new(error), code)
    }

    /// Shows what is still to be shown and returns the exit code.
    pub fn report(self, terminal: &Terminal) -> u8 {
        match self {
            Self::Error(error) => {
                terminal.error(error.as_ref(), None);
                error.exit_code()
            }
            Self::WithCode(error, code) => {
                terminal.error(error.as_ref(), None);
                code
            }
            Self::Shown(code) => code,
        }
    }
}

/// Data that could not be written to stdout.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to stdout")]
struct StdoutError(#[source] io::Error);

impl Diagnostic for StdoutError {}

impl Failure {
    /// Turns a failed write to stdout into a failure; a reader that went away is told by the code alone, as
    /// the shell does for SIGPIPE.
    pub fn stdout(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Shown(141),
            _ => StdoutError(error).into(),
        }
    }
}

/// The asynchronous runtime could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the runtime")]
pub struct RuntimeError(#[source] pub io::Error);

impl Diagnostic for RuntimeError {}

/// A request that cannot be carried out as it was typed, found after parsing.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct UsageError {
    /// What is wrong, with the value.
    pub message: String,
    /// What to type instead.
    pub hint: String,
}

impl Diagnostic for UsageError {
    fn kind(&self) -> Kind {
        Kind::Usage
    }

    fn hints(&self) -> Vec<String> {
        vec![self.hint.clone()]
    }
}

/// Writes words as a shell reads them, for a hint that can be pasted.
pub fn paste(words: &[OsString]) -> String {
    let words = words.iter().map(|word| String::from_utf8_lossy(&quoted(word)).into_owned());
    words.collect::<Vec<_>>().join(" ")
}

/// What clap says of what was typed, for programs: what is wrong, and what else it has to say.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Mistyped {
    message: String,
    hints: Vec<String>,
}

impl From<&clap::Error> for Mistyped {
    fn from(error: &clap::Error) -> Self {
        let said = error.to_string();
        let mut parts = said.split("\n\n").map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "));
        let message = parts.next().unwrap_or_default();
        let message = message.strip_prefix("error: ").unwrap_or(&message).to_owned();
        Self { message, hints: parts.filter(|part| !part.is_empty()).collect() }
    }
}

impl Diagnostic for Mistyped {
    fn kind(&self) -> Kind {
        Kind::Usage
    }

    fn hints(&self) -> Vec<String> {
        self.hints.clone()
    }
}

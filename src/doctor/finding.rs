//! What a check found: how grave it is, what it means, and what can be done about it.

use std::path::Path;

use crate::diagnostic::Diagnostic;
use crate::ssh::command;

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Works, but not as well as it could.
    Warning,
    /// Something will fail.
    Error,
}

/// Who can do something about a finding.
#[derive(Default)]
pub enum Remedy {
    /// Only the person, by what the hint says.
    #[default]
    Person,
    /// ai-vm itself, with what belongs to it.
    Ours(Box<dyn FnOnce() -> Result<(), Box<dyn Diagnostic>>>),
    /// Root: a program and its arguments.
    Root(Vec<String>),
}

/// What a check found.
#[derive(serde::Serialize)]
pub struct Finding {
    /// What was looked at.
    pub subject: &'static str,
    /// How grave it is.
    pub level: Level,
    /// What was found, on one line.
    pub detail: String,
    /// What that means for the VMs; none where all is well.
    pub meaning: Option<String>,
    /// What to do about it: a line with commands in backticks.
    pub hint: Option<String>,
    /// Whether it was found, mended, and not found again.
    pub fixed: bool,
    /// Who can do it.
    #[serde(skip)]
    pub remedy: Remedy,
}

impl Finding {
    /// Says that something is as it should be.
    pub fn ok(subject: &'static str, detail: impl Into<String>) -> Self {
        let (meaning, hint) = (None, None);
        let (level, detail) = (Level::Ok, detail.into());
        Self { subject, level, detail, meaning, hint, fixed: false, remedy: Remedy::Person }
    }

    /// Says that something is not as good as it could be, and what that means.
    pub fn warning(subject: &'static str, detail: impl Into<String>, meaning: &str) -> Self {
        let meaning = Some(meaning.to_owned());
        Self { level: Level::Warning, meaning, ..Self::ok(subject, detail) }
    }

    /// Says that something will fail, and what that means.
    pub fn error(subject: &'static str, detail: impl Into<String>, meaning: &str) -> Self {
        Self { level: Level::Error, ..Self::warning(subject, detail, meaning) }
    }

    /// Says that something will fail for the reason of an error.
    pub fn of(subject: &'static str, error: &dyn Diagnostic, meaning: &str) -> Self {
        let finding = Self::error(subject, error.to_string(), meaning);
        Self { hint: error.hints().into_iter().next(), ..finding }
    }

    /// Adds what a person can do.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Adds what ai-vm itself can do.
    #[must_use]
    pub fn ours(self, mend: impl FnOnce() -> Result<(), Box<dyn Diagnostic>> + 'static) -> Self {
        let hint = self.hint.or_else(|| Some("`ai-vm doctor --fix`".to_owned()));
        Self { hint, remedy: Remedy::Ours(Box::new(mend)), ..self }
    }

    /// Adds what root can do: a program and its arguments, none of which a shell would read otherwise.
    #[must_use]
    pub fn root(self, command: &[&str]) -> Self {
        let hint = self.hint.or_else(|| Some(format!("`sudo {}`", command.join(" "))));
        let command = command.iter().map(|&word| word.to_owned()).collect();
        Self { hint, remedy: Remedy::Root(command), ..self }
    }

    /// Tells whether both say the same.
    pub fn is_same(&self, other: &Self) -> bool {
        (self.subject, &self.detail) == (other.subject, &other.detail)
    }
}

/// Writes a path as a shell reads it, for hints.
pub fn quoted(path: &Path) -> String {
    String::from_utf8_lossy(&command::quoted(path.as_os_str())).into_owned()
}

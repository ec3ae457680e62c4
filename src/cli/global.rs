//! What can be typed with every verb, before it or after it.

use std::ffi::OsString;

use clap::ValueEnum;
use clap::builder::FalseyValueParser;

use crate::diagnostic::{Diagnostic, Kind};
use crate::ui::mode::Choice;

/// The variable that says what `--progress` does.
const PROGRESS: &str = "AI_VM_PROGRESS";

/// Arguments of every verb.
#[derive(Clone, Copy, Debug, clap::Args)]
#[command(next_help_heading = "Every verb")]
pub struct GlobalArgs {
    /// Show how things are getting on as `auto`, `plain`, `json` (an object a line on stderr) or `none` does
    #[arg(long, global = true, value_name = "HOW", value_enum, hide_possible_values = true)]
    progress: Option<Choice>,
    /// Never ask anything, as with AI_VM_NO_INPUT=1: what would be asked is an error, which names what answers it
    #[arg(long, global = true, env = "AI_VM_NO_INPUT", value_parser = FalseyValueParser::new(), hide_env = true)]
    pub no_input: bool,
}

/// The variable says something that cannot be done.
#[derive(Debug, thiserror::Error)]
#[error("{PROGRESS} is `{}`, which is none of auto, plain, json, none", value.escape_debug())]
pub struct VariableError {
    value: String,
}

impl Diagnostic for VariableError {
    fn kind(&self) -> Kind {
        Kind::Usage
    }

    fn hints(&self) -> Vec<String> {
        vec![format!("`unset {PROGRESS}`")]
    }
}

impl GlobalArgs {
    /// Returns what was typed of it, for a command line that is made of this one.
    pub fn words(self) -> Vec<OsString> {
        let how = self.progress.and_then(|progress| progress.to_possible_value());
        how.map_or_else(Vec::new, |how| vec!["--progress".into(), how.get_name().into()])
    }

    /// Returns how to show how things are getting on: as it was typed, else as the variable says.
    pub fn progress(self) -> Result<Choice, VariableError> {
        self.progress.map_or_else(by_variable, Ok)
    }
}

fn by_variable() -> Result<Choice, VariableError> {
    let value = std::env::var_os(PROGRESS).unwrap_or_default().to_string_lossy().into_owned();
    match value.as_str() {
        "" => Ok(Choice::default()),
        said => Choice::from_str(said, false).map_err(|_| VariableError { value }),
    }
}

/// Returns what was asked for by words that could not be understood as a whole, so that what is wrong with them is told
/// in that way.
pub fn progress_of(typed: &[OsString]) -> Choice {
    let typed = typed.iter().take_while(|word| *word != "--").filter_map(|word| word.to_str());
    let mut words = typed.clone().zip(typed.skip(1).map(Some).chain([None]));
    let said = words.find_map(|(word, next)| match word.strip_prefix("--progress") {
        Some("") => next,
        Some(value) => value.strip_prefix('='),
        None => None,
    });
    let said = said.and_then(|said| Choice::from_str(said, false).ok());
    said.or_else(|| by_variable().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(typed: &str) -> Vec<OsString> {
        typed.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn a_mistake_is_told_in_the_way_that_was_asked_for() {
        let of = |typed: &str| progress_of(&words(typed));
        assert_eq!(of("up --progress json --rum 8"), Choice::Json);
        assert_eq!(of("--progress=none up"), Choice::None);
        assert_eq!(of("exec web -- x --progress json"), Choice::Auto);
    }
}

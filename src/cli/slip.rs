//! A common slip: what is to run in a VM without the `--` before it. What clap says of it depends on what the command
//! looks like, and never is that.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use clap::error::ErrorKind;
use clap::{Command, CommandFactory};

use crate::cli::failure::{UsageError, paste};
use crate::cli::root::Cli;

/// Returns what is to be said in the place of clap's error when that is the slip. `typed` is what was typed after the
/// program's name.
pub fn find(typed: &[OsString], error: ErrorKind) -> Option<UsageError> {
    // What every verb takes may come before it.
    let begin = typed.iter().position(|word| word != "--no-input")?;
    let typed = typed.get(begin..)?;
    let verb = typed.first()?.to_str().filter(|verb| ["exec", "shell"].contains(verb))?;
    if typed.iter().any(|word| word == "--") {
        return None;
    }
    let mut cli = Cli::command();
    // A verb has its options only then.
    cli.build();
    let words = Words::of(cli.find_subcommand(verb)?, typed)?;
    let names = usize::from(!words.selected);
    match words.positional.get(names) {
        Some(at) => {
            let (before, command) = typed.split_at_checked(*at)?;
            let told = command.first()?.to_string_lossy().into_owned();
            Some(UsageError {
                message: format!("a command comes after `--`, and there is none before `{told}`"),
                hint: format!("`ai-vm {} -- {}`", paste(before), paste(command)),
            })
        }
        None if words.positional.len() == names && error == ErrorKind::MissingRequiredArgument => {
            let typed = paste(typed);
            Some(UsageError {
                message: format!("`ai-vm {typed}` does not say what to run"),
                hint: format!("`ai-vm {typed} -- COMMAND`; `ai-vm shell NAME` opens a shell"),
            })
        }
        None => None,
    }
}

/// What was typed after a verb, as far as its options are known.
#[derive(Default)]
struct Words {
    /// Where those are that belong to no option.
    positional: Vec<usize>,
    /// Whether VMs are selected by an option, so that no name is needed.
    selected: bool,
}

impl Words {
    /// Sorts the words up to the first that is taken for a part of the command; `None` when there is an option before it
    /// that the verb does not have.
    fn of(verb: &Command, typed: &[OsString]) -> Option<Self> {
        let mut found = Self::default();
        let mut at = 1;
        while let Some(word) = typed.get(at) {
            match word.as_bytes() {
                [b'-', _, ..] => {
                    let option = Opt::of(verb, word.to_str()?)?;
                    found.selected |= option.selects;
                    at += option.words;
                }
                _ => {
                    found.positional.push(at);
                    at += 1;
                }
            }
            if found.positional.len() > usize::from(!found.selected) {
                break;
            }
        }
        Some(found)
    }
}

/// An option as it was typed.
struct Opt {
    /// How many words it takes, with its value.
    words: usize,
    /// Whether it selects VMs.
    selects: bool,
}

impl Opt {
    fn of(verb: &Command, word: &str) -> Option<Self> {
        let selects = |id: &str| ["all", "labels"].contains(&id);
        if let Some(long) = word.strip_prefix("--") {
            let (name, value) =
                long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
            let arg = verb.get_arguments().find(|arg| arg.get_long() == Some(name))?;
            let words = 1 + usize::from(value.is_none() && arg.get_action().takes_values());
            return Some(Self { words, selects: selects(arg.get_id().as_str()) });
        }
        let mut letters = word.chars().skip(1);
        let mut option = Self { words: 1, selects: false };
        while let Some(letter) = letters.next() {
            let arg = verb.get_arguments().find(|arg| arg.get_short() == Some(letter))?;
            option.selects |= selects(arg.get_id().as_str());
            if arg.get_action().takes_values() {
                option.words += usize::from(letters.next().is_none());
                break;
            }
        }
        Some(option)
    }
}

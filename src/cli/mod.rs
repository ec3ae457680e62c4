//! The command line: what can be typed, and how each verb calls the rooms below.

pub mod commands;
pub mod config;
mod config_sync;
pub mod confirm;
pub mod context;
pub mod copying;
pub mod each;
pub mod failure;
pub mod fleet_output;
pub mod global;
mod launcher;
pub mod parallel;
pub mod project;
pub mod prompt;
pub mod root;
mod slip;
pub mod targets;
pub mod typed;
pub mod values;

use std::process::ExitCode;

use crate::cli::failure::{Failure, Mistyped};
use crate::host::umask;
use crate::ui::mode::{Choice, Mode};
use crate::ui::terminal::Terminal;

/// Runs the command that the process was started with and returns its exit code.
pub fn main() -> ExitCode {
    umask::close();
    let (terminal, ended) = match typed::parse(std::env::args_os().collect()) {
        Ok(typed) => match typed.global.progress() {
            Ok(choice) => {
                let terminal = Terminal { no_input: typed.global.no_input, ..Terminal::detect(choice) };
                (terminal, commands::run(typed, terminal))
            }
            Err(error) => (Terminal::detect(Choice::default()), Err(error.into())),
        },
        Err(error) if error.use_stderr() => {
            let typed: Vec<_> = std::env::args_os().skip(1).collect();
            let terminal = Terminal::detect(global::progress_of(&typed));
            (terminal, Err(mistake(&terminal, &typed, &error)))
        }
        Err(error) => {
            // Help and version go to stdout. A closed stream is no news.
            let _ = error.print();
            (Terminal::detect(Choice::None), Ok(0))
        }
    };
    let code = ended.unwrap_or_else(|failure| failure.report(&terminal));
    terminal.exit(code);
    ExitCode::from(code)
}

/// Says what is wrong with what was typed.
fn mistake(terminal: &Terminal, typed: &[std::ffi::OsString], error: &clap::Error) -> Failure {
    if let Some(slip) = slip::find(typed, error.kind()) {
        return slip.into();
    }
    if terminal.mode == Mode::Json {
        return Mistyped::from(error).into();
    }
    // As clap does it, in colours. A closed stream is no news.
    let _ = error.print();
    Failure::Shown(u8::try_from(error.exit_code()).unwrap_or(2))
}

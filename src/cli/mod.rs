//! The command line: what can be typed, and how each verb calls the rooms below.

pub mod commands;
pub mod config;
mod config_sync;
pub mod confirm;
pub mod context;
pub mod each;
pub mod failure;
pub mod fleet_output;
mod launcher;
pub mod parallel;
pub mod project;
pub mod prompt;
pub mod root;
mod slip;
pub mod targets;
pub mod values;

use std::process::ExitCode;

use crate::cli::failure::Failure;
use crate::host::umask;
use crate::ui::terminal::Terminal;

/// Runs the command that the process was started with and returns its exit code.
pub fn main() -> ExitCode {
    umask::close();
    let args = match root::Cli::read(std::env::args_os()) {
        Ok(args) => args,
        Err(error) => {
            let typed: Vec<_> = std::env::args_os().skip(1).collect();
            if let Some(slip) =
                Some(error.kind()).filter(|_| error.use_stderr()).and_then(|kind| slip::find(&typed, kind))
            {
                return ExitCode::from(Failure::from(slip).report(&Terminal::detect()));
            }
            // Help and version go to stdout with code 0, mistakes to stderr with code 2. A closed stream is no news.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let terminal = Terminal { no_input: args.no_input, ..Terminal::detect() };
    match commands::run(args, terminal) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => ExitCode::from(failure.report(&terminal)),
    }
}

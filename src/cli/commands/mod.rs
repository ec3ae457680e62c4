//! One file a verb: its arguments and what it does.

pub mod config;
pub mod create;
pub mod info;
pub mod ls;
pub mod rm;
mod spec;
mod summary;

use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::root::Command;
use crate::ui::terminal::Terminal;

/// Runs a verb and returns the exit code.
pub fn run(command: Command, terminal: Terminal) -> Result<u8, Failure> {
    let ctx = Context::open(terminal)?;
    match command {
        Command::Create(args) => create::run(&ctx, args),
        Command::Ls(args) => ls::run(&ctx, &args),
        Command::Info(args) => info::run(&ctx, &args),
        Command::Rm(args) => rm::run(&ctx, &args),
        Command::Config(args) => config::run(&ctx, &args),
    }
}

//! One file a verb: its arguments and what it does.

pub mod adopt;
pub mod agents;
mod agents_list;
mod agents_logs;
pub mod claude;
pub mod complete;
pub mod config;
pub mod cp;
mod cp_many;
pub mod create;
pub mod creds;
mod creds_status;
pub mod diff;
pub mod doctor;
pub mod exec;
mod exec_many;
pub mod fetch;
mod fetched;
mod foreground;
pub mod forward;
pub mod generate;
mod git;
mod hold;
pub mod image;
pub mod info;
pub mod launch;
pub mod logs;
pub mod ls;
pub mod port;
pub mod proxy;
pub mod push;
pub mod rebuild;
pub mod restart;
pub mod rm;
pub mod run;
mod run_report;
mod run_words;
pub mod share;
pub mod shell;
pub mod spec;
mod spec_words;
pub mod ssh_config;
pub mod ssh_keys;
pub mod start;
pub mod stop;
pub mod summary;
pub mod sync;
pub mod trust;
pub mod up;
pub mod wait;
pub mod words;

use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::launcher;
use crate::cli::root::Command;
use crate::cli::typed::{Typed, What};
use crate::ui::terminal::Terminal;

/// Does what was typed and returns the exit code.
pub fn run(typed: Typed, terminal: Terminal) -> Result<u8, Failure> {
    let command = match typed.what {
        What::Verb(command) => *command,
        What::Launch(args) => return launch::run(&Context::open(terminal)?, *args),
        What::Menus => return launcher::run(terminal, typed.global),
    };
    let ctx = match command {
        Command::HoldConnections => return hold::run(),
        Command::Generate(args) => return generate::run(&terminal, &args),
        Command::Doctor(args) => return doctor::run(&Context::unchecked(terminal)?, &args),
        _ => Context::open(terminal)?,
    };
    match command {
        Command::Adopt(args) => adopt::run(&ctx, args),
        Command::Create(args) => create::run(&ctx, args),
        Command::Creds(args) => creds::run(&ctx, args),
        Command::Up(args) => up::run(&ctx, &args),
        Command::Start(args) => start::run(&ctx, &args),
        Command::Stop(args) => stop::run(&ctx, &args),
        Command::Restart(args) => restart::run(&ctx, &args),
        Command::Rebuild(args) => rebuild::run(&ctx, &args),
        Command::Run(args) => run::run(&ctx, &args),
        Command::Rm(args) => rm::run(&ctx, &args),
        Command::Ls(args) => ls::run(&ctx, &args),
        Command::Info(args) => info::run(&ctx, &args),
        Command::Exec(args) => exec::run(&ctx, args),
        Command::Claude(args) => claude::run(&ctx, args),
        Command::Agents(args) => agents::run(&ctx, args),
        Command::Forward(args) => forward::run(&ctx, args),
        Command::CompletePlace(args) => complete::run(&ctx, &args),
        Command::Sync(args) => sync::run(&ctx, &args),
        Command::Cp(args) => cp::run(&ctx, &args),
        Command::Push(args) => push::run(&ctx, &args),
        Command::Fetch(args) => fetch::run(&ctx, &args),
        Command::Diff(args) => diff::run(&ctx, &args),
        Command::Trust(args) => trust::run(&ctx, &args),
        Command::Shell(args) => shell::run(&ctx, args),
        Command::Logs(args) => logs::run(&ctx, &args),
        Command::Wait(args) => wait::run(&ctx, &args),
        Command::Port(args) => port::run(&ctx, args),
        Command::Share(args) => share::run(&ctx, args),
        Command::SshConfig(args) => ssh_config::run(&ctx, &args),
        Command::SshKeys(args) => ssh_keys::run(&ctx, args),
        Command::Proxy(args) => proxy::run(&ctx, &args),
        Command::Image(args) => image::run(&ctx, args),
        Command::Config(args) => config::run(&ctx, &args),
        Command::CompleteWords(args) => words::run(&ctx, &args),
        Command::HoldConnections => hold::run(),
        Command::Generate(args) => generate::run(&ctx.terminal, &args),
        Command::Doctor(args) => doctor::run(&ctx, &args),
    }
}

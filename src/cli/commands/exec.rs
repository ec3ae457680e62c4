//! `ai-vm exec`: runs a command in a VM as if it ran here.

use std::ffi::OsString;
use std::time::Duration;

use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::values::{duration, value};
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::reach::{self, Route};
use crate::lifecycle::start;
use crate::ssh::command::RemoteCommand;
use crate::ssh::exec;
use crate::ssh::program::Program;
use crate::ssh::session::SessionError;
use crate::vm::name::VmName;
use crate::vm::spec::{EnvVar, UserName};

/// The exit code when ai-vm failed before the command ran.
const NOT_RUN: u8 = 125;

/// The exit code when the connection was lost while it ran.
const LOST: u8 = 255;

/// How a VM is reached by `exec` and `shell`.
#[derive(Clone, Debug, clap::Args)]
pub struct ReachArgs {
    /// The VM
    #[arg(value_name = "NAME", value_parser = value::<VmName>)]
    name: VmName,
    /// Start it if it is stopped
    #[arg(long)]
    start: bool,
    /// How long to wait for a VM that is starting: 90, 5m
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration)]
    timeout: Duration,
    /// Use a connection of its own instead of one that is kept between commands
    #[arg(long)]
    no_mux: bool,
}

/// Arguments of `exec`.
#[derive(Debug, clap::Args)]
#[command(override_usage = "ai-vm exec [OPTIONS] NAME -- COMMAND [ARG]...")]
pub struct Args {
    #[command(flatten)]
    reach: ReachArgs,
    /// Give the command a terminal, also when stdin or stdout is none
    #[arg(short, long, overrides_with = "no_tty")]
    tty: bool,
    /// Give the command no terminal
    #[arg(short = 'T', long, overrides_with = "tty")]
    no_tty: bool,
    /// Set a variable
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = value::<EnvVar>)]
    env: Vec<EnvVar>,
    /// Work in this directory of the VM [default: the home directory]
    #[arg(short = 'C', long, value_name = "DIR")]
    cwd: Option<OsString>,
    /// Run as this user of the VM; root is one
    #[arg(short, long, value_name = "USER", value_parser = value::<UserName>)]
    user: Option<UserName>,
    /// The command and its arguments, exactly as they are to arrive
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Runs the command and returns its exit code.
pub fn run(ctx: &Context, args: Args) -> Result<u8, Failure> {
    let tty = if args.tty { true } else { !args.no_tty && ctx.terminal.interactive };
    let command = RemoteCommand {
        argv: args.command,
        env: args.env.into_iter().map(|var| (var.name, var.value.into())).collect(),
        cwd: args.cwd,
        user: args.user.map(|user| user.to_string()),
    };
    let line = command.encode().map_err(|error| Failure::with_code(error, NOT_RUN))?;
    run_in(ctx, args.reach, &Program::Command(line), tty)
}

/// Connects to a VM, waiting for it while it starts, and runs a program in it.
pub fn run_in(ctx: &Context, args: ReachArgs, program: &Program, tty: bool) -> Result<u8, Failure> {
    let ReachArgs { name, start, timeout, no_mux } = args;
    let route = Route { limit: timeout, shared: !no_mux };
    let terminal = tty.then(exec::like_ours);
    let not_run = |error: LifecycleError| Failure::with_code(error, NOT_RUN);
    ctx.registry().get(&name).map_err(|error| Failure::with_code(error, NOT_RUN))?;
    ctx.block_on(async {
        let running = {
            // Gone when the command begins: the screen is the command's.
            let listener = ctx.listener(name.as_str());
            if start {
                start::launch_vm(&ctx.engine, &name, false, &listener).await.map_err(not_run)?;
            }
            reach::start(&ctx.engine, &name, route, program, terminal.as_ref(), &listener)
                .await
                .map_err(not_run)?
        };
        exec::attach(running, tty).await.map_err(|error| match error {
            SessionError::Lost(_) => Failure::with_code(error, LOST),
            other => Failure::with_code(other, NOT_RUN),
        })
    })?
}

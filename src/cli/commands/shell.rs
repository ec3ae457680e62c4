//! `ai-vm shell`: a login shell in a VM, or a command in its place.

use std::ffi::OsString;
use std::time::Duration;

use crate::cli::commands::exec::{ReachArgs, Surroundings, run_in};
use crate::cli::config_sync;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::targets::{Group, Targets};
use crate::cli::values::value;
use crate::lifecycle::reach::Route;
use crate::ssh::program::Program;
use crate::vm::name::VmName;

/// Open a login shell in a VM
#[derive(Debug, clap::Args)]
#[command(override_usage = "ai-vm shell [OPTIONS] NAME [-- COMMAND [ARG]...]")]
#[command(after_help = "Examples:\n  \
    ai-vm shell web\n  \
    ai-vm shell web --cwd /srv\n  \
    ai-vm shell web -- top                                a program that wants a terminal")]
pub struct Args {
    /// The VM
    #[arg(value_name = "NAME", value_parser = value::<VmName>)]
    name: VmName,
    #[command(flatten)]
    reach: ReachArgs,
    #[command(flatten)]
    surroundings: Surroundings,
    /// A command instead of the shell, and its arguments, exactly as they are to arrive
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// The login shell of whoever runs this, whatever shell that is.
const THEIR_SHELL: &str = "exec \"${SHELL:-/bin/sh}\" -l";

/// Opens the shell; with a terminal when stdin is one, so that a script can be piped in.
pub fn run(ctx: &Context, args: Args) -> Result<u8, Failure> {
    let targets = Targets { names: vec![args.name.clone()], group: Group::default() };
    config_sync::before(ctx, &targets, &args.reach, &args.command);
    let program = match (args.command, args.surroundings) {
        (command, surroundings) if !command.is_empty() => surroundings.around(command)?,
        (_, surroundings) if surroundings.are_plain() => Program::Shell,
        (_, surroundings) => surroundings.around(["sh", "-c", THEIR_SHELL].map(OsString::from).to_vec())?,
    };
    let (route, start) = (args.reach.route(), args.reach.start);
    run_in(ctx, &args.name, route, start, &program, ctx.terminal.interactive, None)
}

/// Opens the shell of a VM that was ready just now.
pub fn open(ctx: &Context, name: &VmName, limit: Duration) -> Result<u8, Failure> {
    let route = Route { limit, shared: true };
    run_in(ctx, name, route, false, &Program::Shell, ctx.terminal.interactive, None)
}

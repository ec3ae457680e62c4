//! `ai-vm shell`: a login shell in a VM.

use crate::cli::commands::exec::{ReachArgs, run_in};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::ssh::program::Program;

/// Arguments of `shell`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    reach: ReachArgs,
}

/// Opens the shell; with a terminal when stdin is one, so that a script can be piped in.
pub fn run(ctx: &Context, args: Args) -> Result<u8, Failure> {
    run_in(ctx, args.reach, &Program::Shell, ctx.terminal.interactive)
}

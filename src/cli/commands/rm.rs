//! `ai-vm rm`: removes VMs with their disks.

use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::targets::Targets;

/// Arguments of `rm`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    targets: Targets,
}

/// Removes the VMs that are named.
pub fn run(ctx: &Context, args: &Args) -> Result<u8, Failure> {
    for entry in args.targets.require(ctx, "rm")? {
        drop(ctx.registry.remove(&entry.name)?);
        ctx.terminal.status(&format!("{}: removed", entry.name));
    }
    Ok(0)
}

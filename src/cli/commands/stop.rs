//! `ai-vm stop`: powers VMs off.

use std::time::Duration;

use crate::cli::commands::creds::{Ending, pass_on};
use crate::cli::context::Context;
use crate::cli::each::{EachArgs, each};
use crate::cli::failure::Failure;
use crate::cli::targets::Targets;
use crate::cli::values::duration;

/// Power VMs off; their files stay
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ai-vm stop web db\n  \
    ai-vm stop --all\n  \
    ai-vm stop --force web                                as if the power had gone")]
pub struct Args {
    #[command(flatten)]
    targets: Targets,
    /// How long the guests may take to power themselves off before they are ended: 90, 5m
    #[arg(short, long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    time: Duration,
    /// End them at once, as by pulling the plug
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    many: EachArgs,
}

/// Stops the VMs that are named, all at the same time.
pub fn run(ctx: &Context, args: &Args) -> Result<u8, Failure> {
    let names = args.targets.named_own(ctx, "stop")?;
    let (time, force) = (args.time, args.force);
    let ending = Ending::of(&names);
    let code = each(ctx, "stop", args.many, names, |vm| {
        let ending = ending.clone();
        async move {
            ending.stop(&vm, time, force).await?;
            Ok("stopped".to_owned())
        }
    })?;
    pass_on(ctx, &ending)?;
    Ok(code)
}

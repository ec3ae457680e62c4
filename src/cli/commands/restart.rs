//! `ai-vm restart`: stops VMs and starts them again.

use std::time::Duration;

use crate::cli::commands::creds::{Ending, pass_on};
use crate::cli::commands::start::{SystemArgs, until_ready};
use crate::cli::config_sync::ConfigSync;
use crate::cli::context::Context;
use crate::cli::each::{EachArgs, each};
use crate::cli::failure::Failure;
use crate::cli::targets::Targets;
use crate::cli::values::duration;
use crate::lifecycle::start::How;

/// Stop VMs and start them again
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ai-vm restart web\n  \
    ai-vm restart --all --fail-fast --json")]
pub struct Args {
    #[command(flatten)]
    targets: Targets,
    /// How long the guests may take to power themselves off before they are ended: 90, 5m
    #[arg(short, long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    time: Duration,
    /// End them at once, as by pulling the plug
    #[arg(long)]
    force: bool,
    /// How long to wait for them to be ready again: 90, 5m
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration)]
    timeout: Duration,
    #[command(flatten)]
    system: SystemArgs,
    #[command(flatten)]
    many: EachArgs,
}

/// Restarts the VMs that are named, all at the same time. One that is stopped is started.
pub fn run(ctx: &Context, args: &Args) -> Result<u8, Failure> {
    let names = args.targets.named_own(ctx, "restart")?;
    let (time, force, timeout) = (args.time, args.force, args.timeout);
    let how = How { base: args.system.base, ..How::default() };
    let (ending, config) = (Ending::of(&names), ConfigSync::automatic(ctx));
    let code = each(ctx, "restart", args.many, names, |vm| {
        let (ending, config) = (ending.clone(), config.clone());
        async move {
            ending.stop(&vm, time, force).await?;
            until_ready(vm, timeout, how, config).await
        }
    })?;
    pass_on(ctx, &ending)?;
    Ok(code)
}

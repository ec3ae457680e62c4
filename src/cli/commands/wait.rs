//! `ai-vm wait`: waits until VMs are ready, or stopped.

use std::time::{Duration, Instant};

use crate::cli::context::Context;
use crate::cli::each::{EachArgs, each};
use crate::cli::failure::Failure;
use crate::cli::targets::Targets;
use crate::cli::values::duration;
use crate::lifecycle::ready::Patience;
use crate::lifecycle::{reach, stop};

/// Arguments of `wait`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    targets: Targets,
    /// How long to wait: 90, 5m
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration)]
    timeout: Duration,
    /// Wait until they are stopped instead
    #[arg(long)]
    stopped: bool,
    #[command(flatten)]
    many: EachArgs,
}

/// Waits for the VMs that are named, for all at the same time.
pub fn run(ctx: &Context, args: &Args) -> Result<u8, Failure> {
    let names = match args.stopped {
        true => args.targets.require_own(ctx, "wait")?,
        false => args.targets.require_names(ctx, "wait")?,
    };
    let (timeout, stopped) = (args.timeout, args.stopped);
    each(ctx, "wait", args.many, names, |vm| async move {
        let begun = Instant::now();
        if stopped {
            stop::wait_until_stopped(&vm.engine, &vm.name, timeout).await?;
            return Ok("stopped".to_owned());
        }
        reach::wait(&vm.engine, &vm.name, Patience::of(timeout).insisting(), &vm.listener).await?;
        Ok(format!("ready, after {:.1} s", begun.elapsed().as_secs_f64()))
    })
}

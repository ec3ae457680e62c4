//! `ai-vm wait`: waits until VMs are ready, stopped, or something holds in them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cli::context::Context;
use crate::cli::each::{EachArgs, each};
use crate::cli::failure::{Failure, UsageError};
use crate::cli::targets::Targets;
use crate::cli::values::{duration, value};
use crate::lifecycle::event::unless_quick;
use crate::lifecycle::ready::Patience;
use crate::lifecycle::{conditions, stop};
use crate::vm::condition::Condition;

/// Wait until VMs are ready, stopped, or something holds in them: a port, a file, a command
#[derive(Debug, clap::Args)]
#[command(after_help = "What can be waited for:\n  \
    ready           it can be logged in to; so it is waited for before anything else\n  \
    stopped         it does not run; not for a machine that was adopted\n  \
    port=3001       something in it accepts connections on its port 3001\n  \
    file=PATH       a file or directory exists in it\n  \
    cmd=COMMAND     a command line of `sh` in it exits with 0; it is tried again and again\n\n\
    Examples:\n  \
    ai-vm wait web --for port=3001 --timeout 2m\n  \
    ai-vm wait web db --for file=/run/app.pid --for cmd='curl -fs localhost:3001/health'\n\n\
    Exit codes: 0 all hold, 5 not in time, which also says what did not hold and what was seen of it.")]
pub struct Args {
    #[command(flatten)]
    targets: Targets,
    /// What has to hold; several must all hold [default: ready]
    #[arg(long = "for", value_name = "CONDITION", value_parser = value::<Condition>)]
    conditions: Vec<Condition>,
    /// How long to wait: 90, 5m
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration)]
    timeout: Duration,
    /// Wait until they are stopped instead; the same as --for stopped
    #[arg(long, conflicts_with = "conditions")]
    stopped: bool,
    #[command(flatten)]
    many: EachArgs,
}

/// Waits for the VMs that are named, for all at the same time.
pub fn run(ctx: &Context, args: &Args) -> Result<u8, Failure> {
    let stopped = args.stopped || args.conditions.contains(&Condition::Stopped);
    if let (true, Some(other)) = (stopped, args.conditions.iter().find(|one| **one != Condition::Stopped)) {
        let error = UsageError {
            message: format!(
                "`{other}` does not go together with `stopped`: nothing holds in a VM that does not run"
            ),
            hint: "wait for one after the other".to_owned(),
        };
        return Err(error.into());
    }
    let names = match stopped {
        true => args.targets.named_own(ctx, "wait")?,
        false => args.targets.named(ctx, "wait")?,
    };
    let (patience, timeout) = (Patience::of(args.timeout).insisting(), args.timeout);
    let begun = Instant::now();
    let wanted: Arc<[Condition]> =
        args.conditions.iter().filter(|one| **one != Condition::Ready).cloned().collect();
    each(ctx, "wait", args.many, names, |vm| {
        let wanted = Arc::clone(&wanted);
        async move {
            if stopped {
                let stopping = stop::wait_until_stopped(&vm.engine, &vm.name, timeout);
                unless_quick(&vm.listener, "waiting until it is stopped", stopping).await?;
                return Ok("stopped".to_owned());
            }
            conditions::wait_for(&vm.engine, &vm.name, &wanted, patience, &vm.listener).await?;
            let held: Vec<String> = wanted.iter().map(Condition::to_string).collect();
            let held = if held.is_empty() { "ready".to_owned() } else { held.join(", ") };
            Ok(format!("{held}, after {:.1} s", begun.elapsed().as_secs_f64()))
        }
    })
}

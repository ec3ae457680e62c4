//! `ai-vm start`: starts VMs and waits until they are ready.

use std::time::{Duration, Instant};

use crate::claude::login::deliver::{IN_PASSING, Logins};
use crate::claude::login::error::LoginError;
use crate::cli::commands::foreground;
use crate::cli::config_sync::ConfigSync;
use crate::cli::context::Context;
use crate::cli::each::{EachArgs, Job, each};
use crate::cli::failure::{Failure, UsageError};
use crate::cli::targets::Targets;
use crate::cli::values::duration;
use crate::diagnostic::Diagnostic;
use crate::lifecycle::event::Event;
use crate::lifecycle::ready::Patience;
use crate::lifecycle::run::Run;
use crate::lifecycle::start::How;
use crate::lifecycle::{reach, shares, start};

/// Start VMs and wait until they are ready
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ai-vm start web\n  \
    ai-vm start -l team=red -j 4                          four at a time\n  \
    ai-vm start --no-wait --all                           without waiting until they are ready\n  \
    ai-vm start web --new-disk                            empty; what was on the old disk is lost")]
pub struct Args {
    #[command(flatten)]
    targets: Targets,
    /// How long to wait for them to be ready: 90, 5m
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration)]
    timeout: Duration,
    /// Return as soon as QEMU runs
    #[arg(long)]
    no_wait: bool,
    /// Show the console of one VM, and pass keys to it, until it ends; Ctrl-C stops it
    #[arg(long, conflicts_with_all = ["no_wait", "json"])]
    console: bool,
    /// Begin with an empty disk; what is on the old one is lost
    #[arg(long)]
    new_disk: bool,
    #[command(flatten)]
    system: SystemArgs,
    #[command(flatten)]
    many: EachArgs,
}

/// Which system a VM boots.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct SystemArgs {
    /// Boot the system that was built on the host, not one that was rebuilt in the guest (NixOS)
    #[arg(long)]
    pub base: bool,
}

/// Starts the VMs that are named, all at the same time.
pub fn run(ctx: &Context, args: &Args) -> Result<u8, Failure> {
    let names = args.targets.named_own(ctx, "start")?;
    let timeout = args.timeout;
    let how = How { new_disk: args.new_disk, base: args.system.base };
    if args.console {
        return match names.as_slice() {
            [name] => foreground::run(ctx, name, how),
            _ => Err(UsageError {
                message: "`--console` shows one VM".to_owned(),
                hint: "name one: `ai-vm start --console NAME`".to_owned(),
            }
            .into()),
        };
    }
    if args.no_wait {
        return each(ctx, "start", args.many, names, |vm| async move {
            may_begin(&vm, how)?;
            start::launch_vm(&vm.engine, &vm.name, how, &vm.listener).await?;
            Ok("started".to_owned())
        });
    }
    let config = ConfigSync::automatic(ctx);
    each(ctx, "start", args.many, names, |vm| until_ready(vm, timeout, how, config.clone()))
}

const fn logins(vm: &Job) -> Logins<'_> {
    Logins { engine: &vm.engine, name: &vm.name, route: IN_PASSING, listener: &vm.listener }
}

/// Refuses a new disk where the newest login might go with the old one. A VM that keeps nothing is only warned of.
pub fn may_begin(vm: &Job, how: How) -> Result<(), LoginError> {
    if how.new_disk {
        return logins(vm).may_go();
    }
    let overlay = vm.engine.registry.get(&vm.name).is_ok_and(|record| record.overlay);
    if let Some(error) = Some(vm).filter(|_| overlay).and_then(|vm| logins(vm).may_go().err()) {
        (vm.listener)(Event::Warning(error.to_string()));
    }
    Ok(())
}

/// Starts one VM, waits until it is ready, and says how to reach it.
pub async fn until_ready(
    vm: Job,
    timeout: Duration,
    how: How,
    config: Option<ConfigSync>,
) -> Result<String, Box<dyn Diagnostic>> {
    let begun = Instant::now();
    may_begin(&vm, how)?;
    start::launch_vm(&vm.engine, &vm.name, how, &vm.listener).await?;
    once_launched(&vm, begun, timeout, config).await
}

/// Waits until a VM that has been launched is ready, gives it what it gets at a start, and says how to reach it. Launches
/// none that has ended meanwhile.
pub async fn once_launched(
    vm: &Job,
    begun: Instant,
    timeout: Duration,
    config: Option<ConfigSync>,
) -> Result<String, Box<dyn Diagnostic>> {
    let record = vm.engine.registry.get(&vm.name)?;
    reach::wait(&vm.engine, &vm.name, Patience::of(timeout), &vm.listener).await?;
    if let Some(share) = shares::missing(&vm.engine, &vm.name, &vm.listener).await {
        (vm.listener)(Event::Warning(format!(
            "its system has not mounted `{}`, for which it needs a kernel with 9p; `ai-vm logs {}` may say more",
            share.guest_path(),
            vm.name
        )));
    }
    logins(vm).at_start().await;
    if let Some(config) = config {
        config.at_start(vm).await;
    }
    let port = vm.engine.registry.get(&vm.name).unwrap_or(record).ssh().map(|forward| forward.host);
    let port = port.map(|port| port.to_string()).unwrap_or_default();
    let screen = Run::read(&vm.engine.registry.dir(&vm.name)).and_then(|run| run.screen);
    let screen = screen.map(|address| format!(", screen at {address}")).unwrap_or_default();
    Ok(format!("ready in {:.1} s, SSH on port {port}{screen}", begun.elapsed().as_secs_f64()))
}

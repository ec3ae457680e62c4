//! `ai-vm rm`: removes VMs with their disks.

use crate::cli::commands::creds::{Ending, pass_on};
use crate::cli::confirm::confirm;
use crate::cli::context::Context;
use crate::cli::each::{EachArgs, each};
use crate::cli::failure::{Failure, UsageError};
use crate::cli::targets::Targets;
use crate::lifecycle::remove::remove;
use crate::vm::name::VmName;

/// Remove VMs with their disks
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ai-vm rm web\n  \
    ai-vm rm --force web                                  while it runs\n  \
    ai-vm rm -l team=red --yes                            without being asked")]
pub struct Args {
    #[command(flatten)]
    targets: Targets,
    /// Kill those that run
    #[arg(short, long)]
    force: bool,
    /// Do not ask before many are removed by --all or -l
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    many: EachArgs,
}

/// Removes the VMs that are named, all at the same time.
pub fn run(ctx: &Context, args: &Args) -> Result<u8, Failure> {
    let names = args.targets.named(ctx, "rm")?;
    if args.targets.names.is_empty() && !args.yes && !names.is_empty() {
        let list = names.iter().map(VmName::as_str).collect::<Vec<_>>().join(" ");
        sure(ctx, &list)?;
    }
    let force = args.force;
    let ending = Ending::of(&names);
    let code = each(ctx, "rm", args.many, names, |vm| {
        let ending = ending.clone();
        async move {
            let adopted = vm.engine.registry.get(&vm.name).is_ok_and(|record| record.guest.is_adopted());
            ending.before_removal(&vm, force).await?;
            remove(&vm.engine, &vm.name, force, &vm.listener).await?;
            Ok(if adopted { "forgotten; the machine itself goes on" } else { "removed" }.to_owned())
        }
    })?;
    pass_on(ctx, &ending)?;
    Ok(code)
}

/// Asks on a terminal; elsewhere nobody can answer, so the flag has to be given.
fn sure(ctx: &Context, list: &str) -> Result<(), Failure> {
    match confirm(ctx, &format!("Remove {list} with all their files?")) {
        Some(true) => Ok(()),
        Some(false) => Err(Failure::Shown(1)),
        None => {
            let hint = "add `--yes`".to_owned();
            Err(UsageError { message: format!("this would remove {list}"), hint }.into())
        }
    }
}

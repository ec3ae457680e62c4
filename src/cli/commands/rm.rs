//! `ai-vm rm`: removes VMs with their disks.

use std::io::Write;

use crate::cli::context::Context;
use crate::cli::each::each;
use crate::cli::failure::{Failure, UsageError};
use crate::cli::targets::Targets;
use crate::lifecycle::remove::remove;
use crate::vm::name::VmName;

/// Arguments of `rm`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    targets: Targets,
    /// Kill those that run
    #[arg(short, long)]
    force: bool,
    /// Do not ask before many are removed by --all or -l
    #[arg(short, long)]
    yes: bool,
}

/// Removes the VMs that are named, all at the same time.
pub fn run(ctx: &Context, args: &Args) -> Result<u8, Failure> {
    let names = args.targets.require_names(ctx, "rm")?;
    if args.targets.names.is_empty() && !args.yes && !names.is_empty() {
        let list = names.iter().map(VmName::as_str).collect::<Vec<_>>().join(" ");
        confirm(ctx, &list)?;
    }
    let force = args.force;
    each(ctx, names, |vm| async move {
        remove(&vm.engine, &vm.name, force, &vm.listener).await?;
        Ok("removed".to_owned())
    })
}

/// Asks on a terminal; elsewhere nobody can answer, so the flag has to be given.
fn confirm(ctx: &Context, list: &str) -> Result<(), Failure> {
    if !ctx.terminal.interactive {
        let hint = "add `--yes`".to_owned();
        return Err(UsageError { message: format!("this would remove {list}"), hint }.into());
    }
    let mut stderr = std::io::stderr();
    // A question that cannot be shown is answered by nobody.
    let _ = write!(stderr, "Remove {list} with all their files? [y/N] ").and_then(|()| stderr.flush());
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    match read {
        Ok(_) if matches!(answer.trim(), "y" | "Y" | "yes") => Ok(()),
        _ => Err(Failure::Shown(1)),
    }
}

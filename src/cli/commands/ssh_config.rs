//! `ai-vm ssh-config`: what OpenSSH needs to reach VMs.

use std::path::Path;

use crate::cli::context::Context;
use crate::cli::failure::{Failure, UsageError};
use crate::cli::targets::Targets;
use crate::host::files::{self, failed};
use crate::host::{program, ssh_include};
use crate::registry::openssh;

/// Let ssh, scp, sftp, rsync, git and editors reach VMs as NAME.ai-vm
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ai-vm ssh-config --install            once; new VMs are there by themselves\n  \
    ssh web.ai-vm, scp file web.ai-vm:, rsync -a dir web.ai-vm:, git clone web.ai-vm:repo\n  \
    ai-vm ssh-config web > config && ssh -F config web.ai-vm"
)]
pub struct Args {
    #[command(flatten)]
    targets: Targets,
    /// Let ~/.ssh/config include the entries of all VMs, those to come as well: one line at its top
    #[arg(long, conflicts_with_all = ["names", "all", "labels", "uninstall"])]
    install: bool,
    /// Take that line away again
    #[arg(long, conflicts_with_all = ["names", "all", "labels", "start"])]
    uninstall: bool,
    /// Let OpenSSH start a VM that is stopped; without it a stopped VM is an error
    #[arg(long)]
    start: bool,
}

/// Prints entries, of all VMs where none are named, or has them included.
pub fn run(ctx: &Context, args: &Args) -> Result<u8, Failure> {
    if args.install {
        return install(ctx, args.start);
    }
    if args.uninstall {
        return uninstall(ctx);
    }
    let entries = match args.targets.is_empty() {
        true => ctx.registry().list()?,
        false => args.targets.resolve(ctx)?,
    };
    ctx.registry().tell_openssh(None)?;
    let us = program::ourselves().map_err(failed("find", Path::new("ai-vm")))?;
    let layout = ctx.registry().layout();
    let mut texts = Vec::new();
    for entry in entries {
        match entry.record {
            Ok(record) => {
                let proxy = openssh::proxy_command(&us, layout.root(), args.start, &entry.name)?;
                texts.push(openssh::entry(&record, &ctx.registry().dir(&entry.name), &proxy)?);
            }
            Err(broken) => ctx.terminal.warn(&format!("{}: {broken}", entry.name)),
        }
    }
    ctx.print(&texts.join("\n"))?;
    Ok(0)
}

fn install(ctx: &Context, start: bool) -> Result<u8, Failure> {
    let (config, layout) = (config(ctx)?, ctx.registry().layout());
    let us = program::ourselves().map_err(failed("find", Path::new("ai-vm")))?;
    let line = openssh::include(&layout.vms())?;
    let script = openssh::script(&us, layout.root(), start)?;
    ctx.registry().tell_openssh(Some(&script))?;
    let said = match ssh_include::insert(config, &line)? {
        true => "includes the VMs from now on",
        false => "includes the VMs already",
    };
    ctx.terminal.status(&format!("{} {said}: `ssh NAME.ai-vm`", config.display()));
    Ok(0)
}

fn uninstall(ctx: &Context) -> Result<u8, Failure> {
    let (config, layout) = (config(ctx)?, ctx.registry().layout());
    let said = match ssh_include::remove(config, &openssh::include(&layout.vms())?)? {
        true => "no longer includes the VMs",
        false => "does not include the VMs",
    };
    files::remove_if_there(&layout.ssh_proxy())?;
    ctx.terminal.status(&format!("{} {said}", config.display()));
    Ok(0)
}

fn config(ctx: &Context) -> Result<&Path, Failure> {
    let unknown = || UsageError {
        message: "there is no home directory, so no configuration of OpenSSH: HOME is not set".to_owned(),
        hint: "`ai-vm ssh-config > FILE`, then `ssh -F FILE NAME.ai-vm`".to_owned(),
    };
    Ok(ctx.env.ssh_config.as_deref().ok_or_else(unknown)?)
}

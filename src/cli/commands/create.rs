//! `ai-vm create`: registers VMs.

use std::time::Duration;

use crate::cli::commands::share::warn_root;
use crate::cli::commands::spec::SpecArgs;
use crate::cli::commands::start;
use crate::cli::config_sync::ConfigSync;
use crate::cli::context::Context;
use crate::cli::each::{EachArgs, each};
use crate::cli::failure::Failure;
use crate::cli::values::{duration, value};
use crate::diagnostic::Diagnostic;
use crate::host::capacity;
use crate::lifecycle::start::How;
use crate::lifecycle::{create, seat};
use crate::registry::record::Record;
use crate::vm::name::VmName;
use crate::vm::port::loopback;
use crate::vm::spec::Hardware;

/// Register VMs: names, hardware, ports. Makes no image and boots nothing unless --start
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ai-vm create web db\n  \
    ai-vm create web --ram 4gb --cpu 2 -p 8080:80 -p auto:5432\n  \
    ai-vm create web --no-default-ports --ssh-port 2300\n  \
    ai-vm create web --start")]
pub struct Args {
    /// Names: letters, digits, - and _
    #[arg(value_name = "NAME", required = true, value_parser = value::<VmName>)]
    names: Vec<VmName>,
    #[command(flatten)]
    spec: SpecArgs,
    /// Start them too, and wait until they are ready
    #[arg(long)]
    start: bool,
    /// How long to wait for them to be ready, with --start: 90, 5m
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration)]
    timeout: Duration,
}

/// Creates the VMs in their order; the first that cannot be created ends the command, those before it stay.
pub fn run(ctx: &Context, args: Args) -> Result<u8, Failure> {
    for name in &args.names {
        let record = register(ctx, name.clone(), &args.spec)?;
        ctx.terminal.news(&describe(&record));
    }
    if args.start {
        let config = ConfigSync::automatic(ctx);
        each(ctx, "create", EachArgs::default(), args.names, |vm| {
            start::until_ready(vm, args.timeout, How::default(), config.clone())
        })
    } else {
        Ok(0)
    }
}

/// Registers one VM and warns of what is unwise about it.
pub fn register(ctx: &Context, name: VmName, spec: &SpecArgs) -> Result<Record, Box<dyn Diagnostic>> {
    let new = spec.new_vm(ctx, name)?;
    // What this machine cannot give it is found out before there is a VM that could not be started.
    seat::sound(&ctx.engine, new.audio)?;
    for warning in capacity::measure(ctx.registry().layout().root()).warnings(&new.hardware) {
        ctx.terminal.warn(&format!("{}: {warning}", new.name));
    }
    if new.ports.bind != loopback() {
        let warning = format!("its ports listen on {}, open to the network", new.ports.bind);
        ctx.terminal.warn(&format!("{}: {warning}", new.name));
    }
    warn_root(ctx, &new.name, new.shares.iter());
    Ok(create::create(ctx.registry(), new)?)
}

/// Says on one line what a VM has been given.
pub fn describe(record: &Record) -> String {
    let ports: Vec<String> = record.forwards.iter().map(|f| format!("{}->{}", f.host, f.guest)).collect();
    let hardware = record
        .hardware
        .map(|Hardware { memory, cpus, disk }| format!("{memory} memory, {cpus} CPUs, {disk} disk, "));
    format!("{}: created, {}ports {}", record.name, hardware.unwrap_or_default(), ports.join(" "))
}

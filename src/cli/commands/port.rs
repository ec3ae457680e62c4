//! `ai-vm port`: the forwarded ports of VMs.

use std::net::{IpAddr, Ipv4Addr};

use clap::Subcommand;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::targets::Targets;
use crate::cli::values::value;
use crate::host::listeners::Listeners;
use crate::lifecycle::ports::{self, PortState};
use crate::ui::table;
use crate::vm::name::VmName;
use crate::vm::port::{Forward, ForwardRequest, Port, loopback};

/// List, add and remove forwarded ports
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ai-vm port ls\n  \
    ai-vm port add web 8080:80 auto:5432                  also while it runs\n  \
    ai-vm port rm web 8080")]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

/// What can be done with ports.
#[derive(Debug, Subcommand)]
enum Verb {
    /// List forwarded ports, and who listens on them
    Ls {
        #[command(flatten)]
        targets: Targets,
        /// Print an array of objects: vm, host, guest, bind, auto, in_use, state, holder
        #[arg(long)]
        json: bool,
    },
    /// Forward further ports, at once if the VM runs
    Add {
        /// The VM
        #[arg(value_name = "NAME", value_parser = value::<VmName>)]
        name: VmName,
        /// The host port and the guest port: 8080:80, or auto:80 for a free one
        #[arg(value_name = "HOST:GUEST", required = true, value_parser = value::<ForwardRequest>)]
        forwards: Vec<ForwardRequest>,
        /// The host address that listens. Anything but loopback opens the ports to the network
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
        bind: Ipv4Addr,
    },
    /// Forward ports no longer
    Rm {
        /// The VM
        #[arg(value_name = "NAME", value_parser = value::<VmName>)]
        name: VmName,
        /// Host ports
        #[arg(value_name = "HOST", required = true, value_parser = value::<Port>)]
        hosts: Vec<Port>,
    },
}

/// A forward as `port ls --json` shows it. Keys are only ever added.
#[derive(Debug, Serialize)]
struct Row {
    vm: VmName,
    host: Port,
    guest: Port,
    bind: IpAddr,
    auto: bool,
    /// Whether anybody listens on the host port.
    in_use: bool,
    /// `listening`: the VM does; `free`: nobody; `taken`: somebody else.
    state: &'static str,
    /// Who that is, for people.
    holder: Option<String>,
}

/// Does what was asked for.
pub fn run(ctx: &Context, args: Args) -> Result<u8, Failure> {
    match args.verb {
        Verb::Ls { targets, json } => list(ctx, &targets, json),
        Verb::Add { name, forwards, bind } => {
            let bind = IpAddr::from(bind);
            if bind != loopback() {
                ctx.terminal.warn(&format!("{name}: the ports listen on {bind}, open to the network"));
            }
            let forwards = ctx.block_on(ports::add(&ctx.engine, &name, &forwards, bind))??;
            say(ctx, &name, "forwards", &forwards);
            Ok(0)
        }
        Verb::Rm { name, hosts } => {
            let forwards = ctx.block_on(ports::remove(&ctx.engine, &name, &hosts))??;
            say(ctx, &name, "no longer forwards", &forwards);
            Ok(0)
        }
    }
}

fn say(ctx: &Context, name: &VmName, what: &str, forwards: &[Forward]) {
    for Forward { host, guest, bind, .. } in forwards {
        ctx.terminal.status(&format!("{name}: {what} {bind}:{host} to guest port {guest}"));
    }
}

fn list(ctx: &Context, targets: &Targets, json: bool) -> Result<u8, Failure> {
    let entries = if targets.is_empty() { ctx.registry().list()? } else { targets.resolve(ctx)? };
    let listeners = Listeners::now();
    let mut rows = Vec::new();
    for entry in entries {
        match entry.record {
            Ok(record) => {
                let seen = ports::look(&ctx.engine, &record, &listeners).into_iter();
                rows.extend(seen.map(|(forward, state)| row(&record.name, &forward, state)));
            }
            Err(broken) => ctx.terminal.warn(&format!("{}: {broken}", entry.name)),
        }
    }
    if json {
        ctx.print_json(&rows)?;
    } else if !rows.is_empty() {
        let cells = rows.iter().map(|row| {
            let by = row.holder.as_ref().map(|holder| format!(" by {holder}")).unwrap_or_default();
            let state = format!("{}{by}", row.state);
            vec![row.vm.to_string(), row.host.to_string(), row.guest.to_string(), row.bind.to_string(), state]
        });
        ctx.print(&table::render(&ctx.terminal, &["VM", "HOST", "GUEST", "BIND", "STATE"], cells.collect()))?;
    }
    Ok(0)
}

fn row(vm: &VmName, forward: &Forward, state: PortState) -> Row {
    let Forward { host, guest, bind, auto } = *forward;
    let (state, holder) = match state {
        PortState::Listening => ("listening", None),
        PortState::Free => ("free", None),
        PortState::Taken(holder) => ("taken", Some(holder)),
    };
    Row { vm: vm.clone(), host, guest, bind, auto, in_use: state != "free", state, holder }
}

//! `ai-vm ls`: lists VMs.

use crate::cli::commands::summary::{PortSummary, Summary};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::targets::Targets;
use crate::lifecycle::present::Present;
use crate::ui::table;
use crate::vm::port::Port;

/// List VMs
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ai-vm ls\n  \
    ai-vm ls -l team=red\n  \
    ai-vm ls -q                                           names, for scripts\n  \
    ai-vm ls --json | jq -r '.[] | select(.state == \"running\") | .name'")]
pub struct Args {
    #[command(flatten)]
    targets: Targets,
    /// Print an array of objects; the shape is described in README.md
    #[arg(long, conflicts_with = "quiet")]
    json: bool,
    /// Print names only
    #[arg(short, long)]
    quiet: bool,
}

/// Lists the VMs that are named, or all.
pub fn run(ctx: &Context, args: &Args) -> Result<u8, Failure> {
    let entries = if args.targets.is_empty() { ctx.registry().list()? } else { args.targets.resolve(ctx)? };
    if args.quiet {
        let names: String = entries.iter().map(|entry| format!("{}\n", entry.name)).collect();
        ctx.print(&names)?;
        return Ok(0);
    }
    let vms: Vec<Summary> = {
        let present = Present::of(ctx.registry().layout());
        ctx.observe(entries)?.iter().map(|vm| Summary::of(vm, &present)).collect()
    };
    if args.json {
        ctx.print_json(&vms)?;
    } else if vms.is_empty() && args.targets.is_empty() {
        ctx.terminal.status("no VMs yet; `ai-vm up NAME` creates and starts one");
    } else {
        ctx.print(&as_table(ctx, &vms))?;
    }
    Ok(0)
}

fn as_table(ctx: &Context, vms: &[Summary]) -> String {
    let with_claude = vms.iter().any(|vm| vm.claude.is_some_and(|mode| !mode.is_none()));
    let with_labels = vms.iter().any(|vm| !vm.labels.is_empty());
    let with_outdated = vms.iter().any(is_outdated);
    let with_problems = vms.iter().any(|vm| vm.problem.is_some());
    let mut headings = vec!["NAME", "STATE", "GUEST", "CPUS", "RAM", "DISK", "SSH", "PORTS"];
    headings.extend(with_claude.then_some("CLAUDE"));
    headings.extend(with_labels.then_some("LABELS"));
    headings.extend(with_outdated.then_some("OUTDATED"));
    headings.extend(with_problems.then_some("PROBLEM"));
    let rows = vms.iter().map(|vm| {
        let mut row = vec![
            vm.name.to_string(),
            vm.state.to_string(),
            vm.guest.unwrap_or("-").to_owned(),
            or_dash(vm.cpus),
            vm.ram_mib.map_or_else(|| "-".to_owned(), memory),
            vm.disk_gib.map_or_else(|| "-".to_owned(), |gib| format!("{gib}gb")),
            vm.address.clone().unwrap_or_else(|| or_dash(vm.ssh_port)),
            ports(vm),
        ];
        row.extend(with_claude.then(|| {
            vm.claude.filter(|mode| !mode.is_none()).map_or_else(String::new, |mode| mode.to_string())
        }));
        row.extend(with_labels.then(|| {
            let pairs: Vec<String> = vm.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            pairs.join(" ")
        }));
        row.extend(with_outdated.then(|| if is_outdated(vm) { "yes" } else { "" }.to_owned()));
        row.extend(with_problems.then(|| vm.problem.clone().unwrap_or_default()));
        row
    });
    table::render(&ctx.terminal, &headings, rows.collect())
}

fn is_outdated(vm: &Summary) -> bool {
    vm.outdated == Some(true)
}

/// The forwards besides SSH, which has a column of its own unless it listens elsewhere than on loopback.
fn ports(vm: &Summary) -> String {
    let shown = |port: &&PortSummary| port.guest != Port::SSH || !port.bind.is_loopback();
    vm.ports.iter().filter(shown).map(PortSummary::words).collect::<Vec<_>>().join(" ")
}

fn memory(mib: u64) -> String {
    if mib.is_multiple_of(1024) { format!("{}gb", mib / 1024) } else { format!("{mib}mb") }
}

fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

//! `ai-vm info`: everything about VMs.

use std::path::PathBuf;

use serde::Serialize;

use crate::cli::commands::summary::{PortSummary, Summary};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::targets::Targets;
use crate::host::detached;
use crate::host::layout::VmDir;
use crate::lifecycle::observe::Observed;
use crate::ui::filter;
use crate::vm::spec::{AcceleratorChoice, Guest, UserName};

/// Arguments of `info`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    targets: Targets,
    /// Print an array of objects: those of `ls --json` with more keys
    #[arg(long)]
    json: bool,
}

/// A VM as `info --json` shows it.
#[derive(Debug, Serialize)]
struct Details {
    #[serde(flatten)]
    summary: Summary,
    directory: PathBuf,
    user: Option<UserName>,
    uuid: Option<String>,
    machine: Option<String>,
    accel: Option<AcceleratorChoice>,
    image: Option<String>,
    source: Option<String>,
    started: Option<String>,
    running_accel: Option<String>,
    pid: Option<u32>,
}

/// Shows the VMs that are named.
pub fn run(ctx: &Context, args: &Args) -> Result<u8, Failure> {
    let entries = args.targets.require(ctx, "info")?;
    let vms = ctx.observe(entries)?;
    let details: Vec<Details> = vms.iter().map(|vm| details(ctx, vm)).collect();
    if args.json {
        ctx.print_json(&details)?;
    } else {
        let texts: Vec<String> = details.iter().map(text).collect();
        ctx.print(&texts.join("\n"))?;
    }
    Ok(0)
}

fn details(ctx: &Context, vm: &Observed) -> Details {
    let record = vm.entry.record.as_ref().ok();
    let run_lock = ctx.registry().dir(&vm.entry.name).file(VmDir::RUN_LOCK);
    Details {
        summary: Summary::from(vm),
        directory: ctx.registry().dir(&vm.entry.name).path().to_owned(),
        user: record.map(|record| record.user.clone()),
        started: vm.run.as_ref().map(|run| run.started.clone()),
        running_accel: vm.run.as_ref().map(|run| run.accel.clone()),
        pid: vm.run.as_ref().and_then(|_| detached::find_by_stdin(&run_lock)).map(|process| process.pid),
        uuid: record.map(|record| record.uuid.clone()),
        machine: record.map(|record| record.machine.clone()),
        accel: record.map(|record| record.accel),
        image: record.and_then(|record| record.base.clone()),
        source: record.and_then(|record| match &record.guest {
            Guest::Debian => None,
            Guest::Image { source, .. } => Some(source.clone()),
        }),
    }
}

/// Lays the details out as `key: value` lines. Keys without a value are left away.
fn text(vm: &Details) -> String {
    let summary = &vm.summary;
    let ports: Vec<String> = summary.ports.iter().map(PortSummary::words).collect();
    let labels: Vec<String> = summary.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let lines = [
        ("name", Some(summary.name.to_string())),
        ("state", Some(summary.state.to_string())),
        ("problem", summary.problem.clone()),
        ("guest", summary.guest.map(str::to_owned)),
        ("source", vm.source.clone()),
        ("image", vm.image.clone()),
        ("user", vm.user.as_ref().map(UserName::to_string)),
        ("memory", summary.ram_mib.map(|mib| format!("{mib} MiB"))),
        ("cpus", summary.cpus.map(|cpus| cpus.to_string())),
        ("disk", summary.disk_gib.map(|gib| format!("{gib} GiB"))),
        ("ports", Some(ports.join(" ")).filter(|text| !text.is_empty())),
        ("labels", Some(labels.join(" ")).filter(|text| !text.is_empty())),
        ("created", summary.created.clone()),
        ("started", vm.started.clone()),
        ("accel", vm.running_accel.clone().or_else(|| vm.accel.map(|accel| accel.to_string()))),
        ("pid", vm.pid.map(|pid| pid.to_string())),
        ("machine", vm.machine.clone()),
        ("uuid", vm.uuid.clone()),
        ("directory", Some(vm.directory.display().to_string())),
    ];
    let line = |(key, value): (&str, Option<String>)| {
        value.map(|value| format!("{:<11}{}\n", format!("{key}:"), filter::one_line(&value)))
    };
    lines.into_iter().filter_map(line).collect()
}

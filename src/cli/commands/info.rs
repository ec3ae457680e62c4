//! `ai-vm info`: everything about VMs.

use std::path::PathBuf;

use serde::Serialize;

use crate::cli::commands::summary::{PortSummary, Summary};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::targets::Targets;
use crate::host::layout::{Identity, VmDir};
use crate::host::{detached, files};
use crate::lifecycle::observe::Observed;
use crate::lifecycle::present::Present;
use crate::ssh::host_key::HostKey;
use crate::ui::filter;
use crate::vm::guest::Guest;
use crate::vm::name::VmName;
use crate::vm::spec::{AcceleratorChoice, UserName};

/// The largest key file that is read, in bytes.
const MAX_KEY: u64 = 16 * 1024;

/// Show everything about VMs
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ai-vm info web\n  \
    ai-vm info --json web db")]
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
    #[serde(skip_serializing_if = "Option::is_none")]
    host_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<PathBuf>,
    started: Option<String>,
    running_accel: Option<String>,
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dir: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    screen: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    screen_password: Option<PathBuf>,
}

/// Shows the VMs that are named.
pub fn run(ctx: &Context, args: &Args) -> Result<u8, Failure> {
    let entries = args.targets.require(ctx, "info")?;
    let vms = ctx.observe(entries)?;
    let present = Present::of(ctx.registry().layout());
    let details: Vec<Details> = vms.iter().map(|vm| details(ctx, vm, &present)).collect();
    if args.json {
        ctx.print_json(&details)?;
    } else {
        let texts: Vec<String> = details.iter().map(text).collect();
        ctx.print(&texts.join("\n"))?;
    }
    Ok(0)
}

fn details(ctx: &Context, vm: &Observed, present: &Present) -> Details {
    let record = vm.entry.record.as_ref().ok();
    let own = record.filter(|record| !record.guest.is_adopted());
    let adopted = record.and_then(|record| match &record.guest {
        Guest::Adopted(adopted) => Some(adopted),
        Guest::Debian | Guest::Image { .. } | Guest::Nixos(_) => None,
    });
    let run_lock = ctx.registry().dir(&vm.entry.name).file(VmDir::RUN_LOCK);
    let screen = vm.run.as_ref().and_then(|run| run.screen.as_ref());
    Details {
        summary: Summary::of(vm, present),
        directory: ctx.registry().dir(&vm.entry.name).path().to_owned(),
        user: record.map(|record| record.user.clone()),
        started: vm.run.as_ref().map(|run| run.started.clone()),
        running_accel: vm.run.as_ref().map(|run| run.accel.clone()),
        pid: vm.run.as_ref().and_then(|_| detached::find_by_stdin(&run_lock)).map(|process| process.pid),
        screen: screen.cloned(),
        screen_password: screen.map(|_| ctx.registry().dir(&vm.entry.name).file(VmDir::SCREEN_PASSWORD)),
        dir: record.and_then(|record| record.dir.clone()),
        uuid: record.map(|record| record.uuid.clone()),
        machine: record.and_then(|record| record.machine.clone()),
        accel: own.map(|record| record.accel),
        image: record.and_then(|record| record.image().cloned()),
        host_key: adopted.and_then(|_| pinned(ctx, &vm.entry.name)),
        identity: adopted.and_then(|adopted| adopted.identity.clone()),
        source: record.and_then(|record| match &record.guest {
            Guest::Debian | Guest::Adopted(_) => None,
            Guest::Image { source, .. } => Some(source.clone()),
            Guest::Nixos(nixos) => nixos.flake.clone(),
        }),
    }
}

/// Reads the fingerprint of the key that a machine has to show which something else runs.
fn pinned(ctx: &Context, name: &VmName) -> Option<String> {
    let file = ctx.registry().dir(name).file(Identity::ADOPTED_HOST_KEY);
    let text = files::read_bounded(&file, MAX_KEY).ok()?;
    let key: HostKey = std::str::from_utf8(&text).ok()?.parse().ok()?;
    Some(format!("{} {}", key.algorithm(), key.fingerprint()))
}

/// Lays the details out as `key: value` lines. Keys without a value are left away.
fn text(vm: &Details) -> String {
    let summary = &vm.summary;
    let ports: Vec<String> = summary.ports.iter().map(PortSummary::words).collect();
    let labels: Vec<String> = summary.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let is_up = vm.started.is_some();
    let shares = summary.shares.iter().map(|share| ("share", Some(share.words(is_up))));
    let lines = [
        ("name", Some(summary.name.to_string())),
        ("state", Some(summary.state.to_string())),
        ("problem", summary.problem.clone()),
        ("guest", summary.guest.map(str::to_owned)),
        ("source", vm.source.clone()),
        ("image", vm.image.as_ref().map(|image| image_words(image, summary.outdated))),
        ("address", summary.address.clone()),
        ("host key", vm.host_key.clone()),
        ("identity", vm.identity.as_ref().map(|path| path.display().to_string())),
        ("user", vm.user.as_ref().map(UserName::to_string)),
        ("memory", summary.ram_mib.map(|mib| format!("{mib} MiB"))),
        ("cpus", summary.cpus.map(|cpus| cpus.to_string())),
        ("disk", summary.disk_gib.map(|gib| format!("{gib} GiB"))),
        ("overlay", summary.overlay.then(|| "every start begins with a clean disk".to_owned())),
        ("audio", summary.audio.then(|| "this machine's sound and microphone".to_owned())),
        ("desktop", summary.desktop.map(|resolution| resolution.to_string())),
        ("screen", vm.screen.as_ref().map(|address| format!("`remote-viewer {address}`"))),
        ("password", vm.screen_password.as_ref().map(|path| format!("in {}", path.display()))),
        ("folder", vm.dir.as_ref().map(|dir| dir.display().to_string())),
        ("ports", Some(ports.join(" ")).filter(|text| !text.is_empty())),
        ("claude", summary.claude.map(|mode| mode.to_string())),
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
    lines.into_iter().chain(shares).filter_map(line).collect()
}

fn image_words(image: &str, outdated: Option<bool>) -> String {
    if outdated == Some(true) { format!("{image}, outdated") } else { image.to_owned() }
}

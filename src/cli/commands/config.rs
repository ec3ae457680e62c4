//! `ai-vm config`: what the configuration says, and where.

use std::path::PathBuf;

use serde::Serialize;

use crate::cli::config::SyncSettings;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::guest::nixos::flake::{self, Flake, Origin};
use crate::vm::login_mode::LoginMode;
use crate::vm::spec::{AcceleratorChoice, UserName};

/// Show the configuration: where it is read from and what it says
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ai-vm config\n  \
    AI_VM_CONFIG=other.toml ai-vm config")]
pub struct Args {
    /// Print an object
    #[arg(long)]
    json: bool,
}

/// What is in force, from the file or by default.
#[derive(Debug, Serialize)]
struct InForce {
    file: PathBuf,
    file_exists: bool,
    data: PathBuf,
    ram_mib: u64,
    cpus: u64,
    disk_gib: u64,
    guest: &'static str,
    flake: Option<Flake>,
    user: Option<UserName>,
    claude: LoginMode,
    accel: AcceleratorChoice,
    mirror: Option<String>,
    sync: SyncSettings,
}

/// Shows the configuration.
pub fn run(ctx: &Context, args: &Args) -> Result<u8, Failure> {
    let hardware = ctx.config.hardware();
    let in_force = InForce {
        file_exists: ctx.env.config.exists(),
        file: ctx.env.config.clone(),
        data: ctx.registry().layout().root().to_owned(),
        ram_mib: hardware.memory.mib(),
        cpus: hardware.cpus.get(),
        disk_gib: hardware.disk.gib(),
        guest: ctx.default_guest()?.name(),
        flake: flake::named(&ctx.engine.flake),
        user: ctx.config.user.clone(),
        claude: ctx.config.claude.unwrap_or_default(),
        accel: ctx.config.accel.unwrap_or_default(),
        mirror: ctx.config.mirror.clone(),
        sync: ctx.config.sync.clone(),
    };
    if args.json {
        ctx.print_json(&in_force)?;
        return Ok(0);
    }
    let existing = if in_force.file_exists { "" } else { "  (not there; these are the defaults)" };
    let user = in_force.user.map_or_else(|| "# user: yours".to_owned(), |user| format!("user = \"{user}\""));
    let mirror = in_force.mirror.map_or_else(
        || "# mirror: that of this machine's apt".to_owned(),
        |mirror| format!("mirror = \"{}\"", mirror.escape_debug()),
    );
    let accel = in_force.accel;
    let guest = in_force.guest;
    let claude = in_force.claude;
    let sync = toml::to_string(&in_force.sync).map(|text| format!("\n[sync]\n{text}")).unwrap_or_default();
    let flake = in_force.flake.map_or_else(
        || format!("# flake: {}", Origin::Embedded),
        |flake| format!("flake = \"{}\"  # {}", flake.reference.escape_debug(), flake.origin),
    );
    ctx.print(&format!(
        "# {}{existing}\n# VMs are in {}\nram = \"{}\"\ncpu = {}\nstorage = \"{}\"\nguest = \"{guest}\"\n{flake}\n{user}\nclaude = \"{claude}\"\naccel = \"{accel}\"\n{mirror}\n{sync}",
        in_force.file.display(),
        in_force.data.display(),
        hardware.memory,
        hardware.cpus,
        hardware.disk,
    ))?;
    Ok(0)
}

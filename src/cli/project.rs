//! The `.ai-vm.toml` of the repository that a command is run in.

use std::path::PathBuf;

use crate::cli::confirm::confirm;
use crate::cli::context::Context;
use crate::cli::failure::{Failure, UsageError};
use crate::cli::targets::Targets;
use crate::host::capacity;
use crate::host::files::failed;
use crate::project::error::ProjectError;
use crate::project::file::Project;
use crate::project::trust::{self, Trust};
use crate::vm::name::VmName;

/// Returns where this command is run.
pub fn working_directory() -> Result<PathBuf, Failure> {
    Ok(std::env::current_dir().map_err(failed("find", ".".as_ref()))?)
}

/// Returns the file that says what a VM is to be: where no VM is named, or the one that the file speaks of.
pub fn meant(names: &[VmName]) -> Result<Option<Project>, Failure> {
    let project = match (Project::find(&working_directory()?), names) {
        (found, []) => found?,
        // Who names another VM does not mean the file, whatever is wrong with it.
        (found, [name]) => {
            found.ok().flatten().filter(|project| project.name().is_ok_and(|its| its == *name))
        }
        _ => None,
    };
    if project.is_none() && names.is_empty() {
        return Err(UsageError {
            message: "nothing says which VM".to_owned(),
            hint: "`ai-vm up NAME`, or a file `.ai-vm.toml` with a line like `name = \"web\"`".to_owned(),
        }
        .into());
    }
    Ok(project)
}

/// Returns the VMs of a verb that is about this repository: those that are named, else the one that its file speaks of.
pub fn named(ctx: &Context, targets: &Targets, verb: &str) -> Result<Vec<VmName>, Failure> {
    if targets.is_empty()
        && let Some(project) = Project::find(&working_directory()?)?
    {
        return Ok(vec![project.name()?]);
    }
    targets.named(ctx, verb)
}

/// Sees to it that what the file asks of this machine has been agreed to: somebody at a terminal is asked.
pub fn consent(ctx: &Context, project: &Project) -> Result<(), Failure> {
    let keys = guarded(ctx, project);
    let trust = trust::of(ctx.registry().layout(), project);
    if keys.is_empty() || trust == Trust::Yes {
        return Ok(());
    }
    if !ctx.terminal.asks() {
        let (path, was) = (project.path.clone(), trust == Trust::Changed);
        return Err(ProjectError::NotTrusted { path, keys, was }.into());
    }
    agree(ctx, project)
}

/// Shows the file and asks.
pub fn agree(ctx: &Context, project: &Project) -> Result<(), Failure> {
    let layout = ctx.registry().layout();
    let path = project.path.display();
    let keys = guarded(ctx, project);
    let asks = if keys.is_empty() { "nothing of this machine".to_owned() } else { keys.join(", ") };
    let changed =
        if trust::of(layout, project) == Trust::Changed { ", and has changed since you agreed" } else { "" };
    ctx.terminal.status(&format!("{}\n`{path}` asks for {asks}{changed}.", project.text.trim_end()));
    match confirm(ctx, "Do you trust it?") {
        Some(true) => Ok(trust::agree(layout, project)?),
        Some(false) => Err(Failure::Shown(1)),
        None => Err(UsageError {
            message: format!("nobody is there to agree to `{path}`"),
            hint: "look at it, then: `ai-vm trust --yes`".to_owned(),
        }
        .into()),
    }
}

/// Returns what the file asks of this machine.
pub fn guarded(ctx: &Context, project: &Project) -> Vec<String> {
    let capacity = capacity::measure(ctx.registry().layout().root());
    project.guarded(&capacity, &ctx.config.hardware())
}

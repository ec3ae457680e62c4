//! `ai-vm share`: the folders of this machine that VMs see.

use std::path::PathBuf;

use clap::Subcommand;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::failure::{Failure, UsageError};
use crate::cli::targets::Targets;
use crate::cli::values::value;
use crate::lifecycle::shares::{self, ShareState, Wanted};
use crate::ui::{filter, table};
use crate::vm::name::VmName;
use crate::vm::share::{Share, ShareMode};

/// List, add and remove folders of this machine that VMs see
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A VM sees a change from its next start on. What it may change, every program in it may change: \
    share what it works on, and nothing that programs here read without asking you.\n\n\
    Examples:\n  \
    ai-vm share ls\n  \
    ai-vm share add web --ro /srv/models --rw ~/src/web\n  \
    ai-vm share rm web /srv/models"
)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

/// What can be done with shares.
#[derive(Debug, Subcommand)]
enum Verb {
    /// List shared folders, and what becomes of them
    Ls {
        #[command(flatten)]
        targets: Targets,
        /// Print an array of objects: vm, mode, path, name, guest, state, problem
        #[arg(long)]
        json: bool,
    },
    /// Share further folders, from the next start on
    Add {
        /// The VM
        #[arg(value_name = "NAME", value_parser = value::<VmName>)]
        name: VmName,
        /// A folder that the VM may read and change, as /mnt/host-rw/NAME
        #[arg(long, value_name = "FOLDER")]
        rw: Vec<PathBuf>,
        /// A folder that the VM may read, as /mnt/host-ro/NAME
        #[arg(long, value_name = "FOLDER")]
        ro: Vec<PathBuf>,
        /// Share system folders, whole homes and secrets too
        #[arg(long)]
        i_know: bool,
    },
    /// Share folders no longer, from the next start on
    Rm {
        /// The VM
        #[arg(value_name = "NAME", value_parser = value::<VmName>)]
        name: VmName,
        /// Folders, or their names in the guest
        #[arg(value_name = "SHARE", required = true)]
        shares: Vec<String>,
    },
}

/// A share as `share ls --json` shows it. Keys are only ever added.
#[derive(Debug, Serialize)]
struct Row {
    vm: VmName,
    #[serde(flatten)]
    share: ShareSummary,
    /// Why the VM would not start with it.
    problem: Option<String>,
}

/// A share as `ls --json` and `info --json` show it. Keys are only ever added.
#[derive(Clone, Debug, Serialize)]
pub struct ShareSummary {
    mode: ShareMode,
    /// The folder on this machine.
    path: PathBuf,
    name: String,
    /// Where the guest has it.
    guest: String,
    state: ShareState,
}

impl ShareSummary {
    /// Says it for programs.
    pub fn new(share: &Share, state: ShareState) -> Self {
        let (path, name) = (share.path.clone(), share.name.clone());
        Self { mode: share.mode, path, name, guest: share.guest_path(), state }
    }

    /// Says it for people; `is_up` tells whether the VM runs.
    pub fn words(&self, is_up: bool) -> String {
        let state = match self.state {
            ShareState::Pending if is_up => " (from the next start on)",
            ShareState::Leaving => " (until it is stopped)",
            ShareState::Pending | ShareState::Active => "",
        };
        filter::one_line(&format!("{} -> {}{state}", self.path.display(), self.guest))
    }
}

/// Makes a list of what is to be shared.
pub fn wanted(rw: &[PathBuf], ro: &[PathBuf], i_know: bool) -> Vec<Wanted> {
    let each = |mode: ShareMode| move |path: &PathBuf| Wanted { path: path.clone(), mode, i_know };
    rw.iter().map(each(ShareMode::Rw)).chain(ro.iter().map(each(ShareMode::Ro))).collect()
}

/// Does what was asked for.
pub fn run(ctx: &Context, args: Args) -> Result<u8, Failure> {
    match args.verb {
        Verb::Ls { targets, json } => list(ctx, &targets, json),
        Verb::Add { name, rw, ro, i_know } => add(ctx, &name, &wanted(&rw, &ro, i_know)),
        Verb::Rm { name, shares } => remove(ctx, &name, &shares),
    }
}

fn add(ctx: &Context, name: &VmName, wanted: &[Wanted]) -> Result<u8, Failure> {
    if wanted.is_empty() {
        let error = UsageError {
            message: "`ai-vm share add` needs to know which folder, and what the VM may do with it"
                .to_owned(),
            hint: format!("`ai-vm share add {name} --rw FOLDER`, or `--ro FOLDER`"),
        };
        return Err(error.into());
    }
    let shares = shares::add(&ctx.engine, name, wanted)?;
    warn_root(ctx, name, shares.iter().map(|(share, _)| share));
    let is_up = shares::run(&ctx.engine, name)?.is_some();
    for (share, state) in &shares {
        let words = ShareSummary::new(share, *state).words(is_up);
        ctx.terminal.status(&format!("{name}: shares {words}"));
    }
    if is_up && shares.iter().any(|(_, state)| *state == ShareState::Pending) {
        ctx.terminal.status(&format!("{name}: `ai-vm restart {name}` gives it to the VM"));
    }
    Ok(0)
}

/// Says what is different for root, who is not who should run VMs.
pub fn warn_root<'a>(ctx: &Context, name: &VmName, mut shares: impl Iterator<Item = &'a Share>) {
    if shares.any(|share| shares::is_mapped(share.mode)) {
        let warning = "you are root, so what the VM writes belongs to root here, for root alone; the owners and modes \
            that it gives are noted beside the files";
        ctx.terminal.warn(&format!("{name}: {warning}"));
    }
}

fn remove(ctx: &Context, name: &VmName, which: &[String]) -> Result<u8, Failure> {
    let gone = shares::remove(&ctx.engine, name, which)?;
    let run = shares::run(&ctx.engine, name)?;
    let left = shares::look(&[], run.as_ref());
    for share in &gone {
        let path = filter::one_line(&share.path.to_string_lossy());
        let still = left.iter().any(|(other, _)| other.path == share.path);
        let until = if still { "; the VM sees it until it is stopped" } else { "" };
        ctx.terminal.status(&format!("{name}: no longer shares {path}{until}"));
    }
    Ok(0)
}

fn list(ctx: &Context, targets: &Targets, json: bool) -> Result<u8, Failure> {
    let entries = if targets.is_empty() { ctx.registry().list()? } else { targets.resolve(ctx)? };
    let mut rows = Vec::new();
    for entry in entries {
        match entry.record {
            Ok(record) => {
                let run = shares::run(&ctx.engine, &record.name)?;
                for (share, state) in shares::look(&record.shares, run.as_ref()) {
                    let kept = state != ShareState::Leaving;
                    let problem = kept.then(|| shares::problem(&ctx.engine, &record.name, &share)).flatten();
                    rows.push(Row {
                        vm: record.name.clone(),
                        share: ShareSummary::new(&share, state),
                        problem: problem.map(|problem| problem.to_string()),
                    });
                }
            }
            Err(broken) => ctx.terminal.warn(&format!("{}: {broken}", entry.name)),
        }
    }
    if json {
        ctx.print_json(&rows)?;
    } else if !rows.is_empty() {
        ctx.print(&as_table(ctx, &rows))?;
    }
    Ok(0)
}

fn as_table(ctx: &Context, rows: &[Row]) -> String {
    let with_problems = rows.iter().any(|row| row.problem.is_some());
    let mut headings = vec!["VM", "FOLDER", "GUEST", "STATE"];
    headings.extend(with_problems.then_some("PROBLEM"));
    let cells = rows.iter().map(|Row { vm, share, problem }| {
        let state = match share.state {
            ShareState::Active => "active",
            ShareState::Pending => "from the next start on",
            ShareState::Leaving => "until it is stopped",
        };
        let path = filter::one_line(&share.path.to_string_lossy());
        let mut cells = vec![vm.to_string(), path, filter::one_line(&share.guest), state.to_owned()];
        cells.extend(with_problems.then(|| problem.as_deref().map(filter::one_line).unwrap_or_default()));
        cells
    });
    table::render(&ctx.terminal, &headings, cells.collect())
}

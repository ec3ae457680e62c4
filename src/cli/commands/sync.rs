//! `ai-vm sync`: sends this machine's configuration of Claude Code to VMs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use crate::claude::config::send::{Done, Look};
use crate::claude::config::view::View;
use crate::cli::commands::exec::ReachArgs;
use crate::cli::config_sync::{ConfigSync, How};
use crate::cli::context::Context;
use crate::cli::each::{self, EachArgs, Job};
use crate::cli::failure::{Failure, RuntimeError};
use crate::cli::targets::Targets;
use crate::diagnostic::Diagnostic;
use crate::transfer::session::Wanted;
use crate::ui::{filter, progress};
use crate::vm::name::VmName;

/// Send this machine's Claude Code configuration to VMs: settings, skills, commands, agents; nothing secret
#[derive(Debug, clap::Args)]
#[command(
    after_help = "From ~/.claude here, or $CLAUDE_CONFIG_DIR, to ~/.claude there: CLAUDE.md, rules, skills, commands, \
    agents, output styles, workflows, themes, key bindings, and the settings without what runs programs of this machine or \
    may be secret: of `env` only switches, numbers and models, no helpers, status line, hooks, sandbox or permissions but \
    what is denied. Links are followed within your home, but not to secrets. Never logins, nor ~/.claude.json.\n\n\
    Only what changed is sent; what was sent before and is gone here is removed there, and nothing else. It also runs by itself \
    when a VM starts and before `exec NAME -- start-claude`. In the configuration file:\n  \
    [sync]\n  \
    auto = false            not by itself\n  \
    plugins = true          plugins too\n  \
    hooks = true            hooks too, as far as they need nothing of this machine\n  \
    env = [\"MY_VARIABLE\"]   variables of the settings whatever they hold\n\n\
    Examples:\n  \
    ai-vm sync web --dry-run          what would be sent and removed, and what is left out\n  \
    ai-vm sync --all"
)]
pub struct Args {
    #[command(flatten)]
    targets: Targets,
    #[command(flatten)]
    reach: ReachArgs,
    /// Say what would be sent and removed, and do nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Send prompts and transcripts too, which can hold secrets
    #[arg(long)]
    history: bool,
    /// Send plugins too
    #[arg(long)]
    plugins: bool,
    #[command(flatten)]
    many: EachArgs,
}

/// What would be done for one VM, as `--dry-run --json` shows it.
#[derive(Debug, Serialize)]
struct Row {
    name: VmName,
    send: Vec<String>,
    bytes: u64,
    remove: Vec<String>,
    left_out: Vec<String>,
}

/// What is done, or would be, by VM.
type Plans = BTreeMap<VmName, (Done, Arc<View>)>;

/// Sends to the VMs that are named, all at the same time.
pub fn run(ctx: &Context, args: &Args) -> Result<u8, Failure> {
    let names = args.targets.named_own(ctx, "sync")?;
    let sync = ConfigSync::new(ctx, args.history, args.plugins)?;
    let plans: Arc<Mutex<Plans>> = Arc::default();
    let all = ctx.block_on(async {
        // When it is told to end, the guests clean up.
        let wanted = Wanted::until_signal(Vec::new()).map_err(RuntimeError)?;
        let work = |vm: Job| {
            let (sync, plans, dry) = (sync.clone(), Arc::clone(&plans), args.dry_run);
            let (route, start, wanted) = (args.reach.route(), args.reach.start, wanted.clone());
            async move {
                let how = How { route, start, look: Look::Whole, dry, wanted };
                let (done, view) = sync.send(&vm.engine, &vm.name, how, &vm.listener).await?;
                let words = words(&done, &view, dry);
                plans.lock().unwrap_or_else(PoisonError::into_inner).insert(vm.name, (done, view));
                Ok::<_, Box<dyn Diagnostic>>(words)
            }
        };
        Ok::<_, Failure>(each::run(ctx, args.many, names, work).await)
    })??;
    let plans = std::mem::take(&mut *plans.lock().unwrap_or_else(PoisonError::into_inner));
    if args.dry_run {
        show(ctx, args, plans)?;
    }
    match args.dry_run && args.many.is_json() {
        true => each::report(ctx, "sync", EachArgs::default(), all),
        false => each::report(ctx, "sync", args.many, all),
    }
}

fn show(ctx: &Context, args: &Args, plans: Plans) -> Result<(), Failure> {
    let row = |(name, (done, view)): (VmName, (Done, Arc<View>))| Row {
        name,
        send: done.sent.iter().map(ToString::to_string).collect(),
        bytes: done.bytes,
        remove: done.removed.iter().map(ToString::to_string).collect(),
        left_out: view.left_out.clone(),
    };
    let rows: Vec<Row> = plans.into_iter().map(row).collect();
    if args.many.is_json() {
        return ctx.print_json(&rows);
    }
    let several = rows.len() > 1;
    let mut text = String::new();
    for row in &rows {
        let about = if several { format!("{}: ", row.name) } else { String::new() };
        for (sign, names) in [("send", &row.send), ("remove", &row.remove), ("leave out", &row.left_out)] {
            text.extend(names.iter().map(|name| format!("{about}{sign} {}\n", filter::one_line(name))));
        }
    }
    ctx.print(&text)
}

fn words(done: &Done, view: &View, dry: bool) -> String {
    let (send, remove) = if dry { ("would send", "would remove") } else { ("sent", "removed") };
    let files = match done.sent.len() {
        0 if done.removed.is_empty() && view.items.is_empty() => "there is no configuration here".to_owned(),
        0 if done.removed.is_empty() => "nothing changed".to_owned(),
        0 => format!("{send} nothing"),
        1 => format!("{send} 1 file, {}", progress::size(done.bytes)),
        count => format!("{send} {count} files, {}", progress::size(done.bytes)),
    };
    let removed = match done.removed.len() {
        0 => String::new(),
        count => format!("; {remove} {count}"),
    };
    let left_out = match view.left_out.len() {
        0 => String::new(),
        count if dry => format!("; {count} left out"),
        count => format!("; {count} left out, as `--dry-run` tells"),
    };
    format!("{files}{removed}{left_out}")
}

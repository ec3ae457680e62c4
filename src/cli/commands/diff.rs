//! `ai-vm diff`: shows what a VM's work changes.

use std::ffi::OsString;
use std::io::{self, Write};

use serde::Serialize;

use crate::cli::commands::git::{GitArgs, folder, repository};
use crate::cli::context::Context;
use crate::cli::failure::{Failure, RuntimeError};
use crate::cli::project;
use crate::cli::targets::{Group, Targets};
use crate::cli::values::value;
use crate::git::changed::Changed;
use crate::git::diff::{self, Form, Look};
use crate::git::error::GitError;
use crate::git::fetch::Request;
use crate::lifecycle::event::Listener;
use crate::transfer::error::TransferError;
use crate::transfer::session::{Guests, Wanted};
use crate::ui::filter;
use crate::vm::name::VmName;

/// The longest line that is shown on a terminal, in bytes.
const MAX_LINE: usize = 64 * 1024;

/// Show what a VM's work changes
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ai-vm diff web                    what was fetched last, against where it parted from HEAD\n  \
    ai-vm diff web --working          what is in the VM's folder now, committed or not; nothing of it is kept\n  \
    ai-vm diff web | git apply        take the changes without the commits\n\n\
    The text is made by git on this machine, from objects that were fetched and checked, without anybody's filters, text \
    converters or configuration. On a terminal all but text and colours is taken out.")]
pub struct Args {
    /// The VM; none where a `.ai-vm.toml` in or above this folder says what is meant
    #[arg(value_name = "NAME", value_parser = value::<VmName>)]
    name: Option<VmName>,
    /// Which of the VM's branches [default: what is checked out there]
    #[arg(short, long, value_name = "BRANCH", default_value = "HEAD", hide_default_value = true)]
    branch: String,
    /// What is in the VM's folder at this moment, also what is not committed
    #[arg(short, long, conflicts_with = "branch")]
    working: bool,
    /// With --working, the folder in the VM, from the home directory [default: called like this repository]
    #[arg(long, value_name = "DIR", requires = "working")]
    from: Option<OsString>,
    /// Show how many lines of which files
    #[arg(long, conflicts_with_all = ["names", "json"])]
    stat: bool,
    /// Show the names of the files
    #[arg(long, conflicts_with = "json")]
    names: bool,
    /// Print an object: name, branch (null with --working), from, to, files (path, change, added, deleted, why), more_files,
    /// added, deleted
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    git: GitArgs,
}

/// What is shown with `--json`. Keys are only ever added.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    name: &'a VmName,
    branch: Option<&'a str>,
    from: &'a str,
    to: &'a str,
    #[serde(flatten)]
    changed: Changed,
}

/// Shows it.
pub fn run(ctx: &Context, args: &Args) -> Result<u8, Failure> {
    let targets = Targets { names: args.name.iter().cloned().collect(), group: Group::default() };
    let Some(vm) = project::named(ctx, &targets, "diff")?.pop() else { return Ok(0) };
    let repository = repository(ctx)?;
    let difference = if args.working {
        let dir = folder(args.from.as_deref(), &repository);
        let request = Request { dir: &dir, bounds: args.git.bounds(), prune: false };
        let arrived = ctx.block_on(async {
            let wanted = Wanted::until_signal(Vec::new()).map_err(RuntimeError)?;
            let listener = |name: &VmName| -> Listener {
                if args.json { ctx.warner(name.as_str()) } else { ctx.listener(name.as_str()) }
            };
            let (route, start) = (args.git.reach.route(), args.git.reach.start);
            let guests = Guests { engine: &ctx.engine, route, start, listener: &listener, wanted };
            diff::working(&guests, &repository, &vm, request).await.map_err(failure)
        })?;
        arrived?
    } else {
        diff::fetched(ctx.registry().layout(), &repository, &vm, &args.branch)?
    };
    if args.json {
        let (from, to) = (&*difference.from, &*difference.to);
        let branch = (!args.working).then_some(&*args.branch);
        ctx.print_json(&Shown { name: &vm, branch, from, to, changed: difference.changed()? })?;
        return Ok(0);
    }
    let form = match (args.stat, args.names) {
        (true, _) => Form::Stat,
        (_, true) => Form::Names,
        _ => Form::Patch,
    };
    let look = Look { form, colour: ctx.terminal.colour };
    let mut out = Out { line: Vec::new(), filtered: ctx.terminal.stdout, failed: None };
    let poured = difference.pour(look, |bytes| out.take(bytes));
    out.end();
    match out.failed {
        Some(error) => Err(Failure::stdout(error)),
        None => Ok(poured.map(|()| 0)?),
    }
}

fn failure(error: GitError) -> Failure {
    if let GitError::Transfer(ended) = &error
        && let TransferError::Cancelled(code) = **ended
    {
        return Failure::Shown(code);
    }
    error.into()
}

/// Stdout, to which text goes as it is, or line by line without what acts on a terminal.
struct Out {
    line: Vec<u8>,
    filtered: bool,
    failed: Option<io::Error>,
}

impl Out {
    fn take(&mut self, bytes: &[u8]) -> bool {
        if !self.filtered {
            return self.write(bytes);
        }
        bytes.split_inclusive(|byte| *byte == b'\n').all(|part| {
            let room = MAX_LINE.saturating_sub(self.line.len());
            let text = part.strip_suffix(b"\n").unwrap_or(part);
            self.line.extend_from_slice(text.get(..room.min(text.len())).unwrap_or_default());
            !part.ends_with(b"\n") || self.flush()
        })
    }

    fn flush(&mut self) -> bool {
        let line = std::mem::take(&mut self.line);
        let shown = format!("{}\n", filter::coloured_line(&String::from_utf8_lossy(&line)));
        self.write(shown.as_bytes())
    }

    fn end(&mut self) {
        if !self.line.is_empty() && self.failed.is_none() {
            self.flush();
        }
    }

    fn write(&mut self, bytes: &[u8]) -> bool {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Ok(()) => true,
            Err(error) => {
                self.failed = Some(error);
                false
            }
        }
    }
}

//! `ai-vm cp`: copies files into VMs, out of them, and between them.

use std::ffi::OsString;
use std::io;
use std::sync::Arc;

use crate::cli::commands::exec::ReachArgs;
use crate::cli::context::Context;
use crate::cli::failure::{Failure, RuntimeError};
use crate::fleet::outcome::LOST;
use crate::lifecycle::event::Listener;
use crate::ssh::session::SessionError;
use crate::transfer::copy::{Copy, Ends, Request};
use crate::transfer::error::{Stop, TransferError};
use crate::transfer::location::Location;
use crate::transfer::session::{Guests, Wanted};
use crate::transfer::watch::{Report, Watch};
use crate::ui::filter;
use crate::vm::name::VmName;

/// How many single files are told about.
const MAX_TOLD: u64 = 100;

/// Arguments of `cp`.
#[derive(Debug, clap::Args)]
#[command(override_usage = "ai-vm cp [OPTIONS] SRC... DST")]
pub struct Args {
    /// What to copy, and last where to: NAME:PATH in a VM, a path here (`./a:b` if its name has a colon), or `-`
    #[arg(required = true, num_args = 2.., value_name = "SRC... DST")]
    paths: Vec<OsString>,
    /// Copy directories with what is in them; links in them are copied as links
    #[arg(short, long, visible_short_alias = 'R')]
    recursive: bool,
    /// Show no progress
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    reach: ReachArgs,
}

/// Copies.
pub fn run(ctx: &Context, args: Args) -> Result<u8, Failure> {
    let mut locations = args.paths.iter().map(|path| Location::parse(path)).collect::<Result<Vec<_>, _>>()?;
    // clap sees to it that there are two.
    let Some(target) = locations.pop() else { return Ok(0) };
    let request = Request { sources: locations, target, recursive: args.recursive };
    let watch = Arc::new(Watch::new(teller(ctx)));
    let listener = |name: &VmName| -> Listener { ctx.listener(name.as_str()) };
    let copied = ctx.block_on(async {
        let wanted = Wanted::until_signal(Arc::clone(&watch)).map_err(RuntimeError)?;
        let guests = Guests {
            engine: &ctx.engine,
            route: args.reach.route(),
            start: args.reach.start,
            listener: &listener,
            wanted,
        };
        let ends = Ends { stdin: Box::new(io::stdin()), stdout: Box::new(io::stdout()) };
        let copy = Copy { guests, watch: Arc::clone(&watch) };
        copy.run(&request, ends).await.map_err(failure)
    })?;
    copied?;
    Ok(u8::from(watch.problems() > 0))
}

fn failure(error: TransferError) -> Failure {
    match error {
        TransferError::Cancelled(code) => Failure::Shown(code),
        TransferError::Stopped(Stop::Write { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => {
            Failure::stdout(source)
        }
        TransferError::Session { source: SessionError::Lost(_), .. } | TransferError::Stalled { .. } => {
            Failure::with_code(error, LOST)
        }
        error => error.into(),
    }
}

/// Returns what tells about single files.
fn teller(ctx: &Context) -> impl Fn(Report) + Send + Sync + 'static {
    let terminal = ctx.terminal;
    let told = std::sync::atomic::AtomicU64::new(0);
    move |report| {
        let text = match report {
            Report::Problem(text) => format!("error: {text}"),
            Report::Skipped(text) => format!("warning: {text}"),
        };
        match told.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            count if count < MAX_TOLD => terminal.status(&filter::one_line(&text)),
            MAX_TOLD => terminal.status("more such files are not shown"),
            _ => {}
        }
    }
}

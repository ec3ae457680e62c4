//! `ai-vm cp`: copies files into VMs, out of them, and between them.

use std::ffi::OsString;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::cli::commands::cp_many;
use crate::cli::commands::exec::ReachArgs;
use crate::cli::confirm::may_read_stdin;
use crate::cli::context::Context;
use crate::cli::copying;
use crate::cli::each::{EachArgs, is_about};
use crate::cli::failure::{Failure, RuntimeError, UsageError};
use crate::cli::targets::Group;
use crate::lifecycle::event::Listener;
use crate::transfer::copy::{Copy, Ends, Request};
use crate::transfer::error::{Stop, TransferError};
use crate::transfer::location::{Argument, Location};
use crate::transfer::plan::Options;
use crate::transfer::session::{Guests, Wanted};
use crate::transfer::watch::{Report, Watch};
use crate::ui::filter;
use crate::ui::progress::Progress;
use crate::vm::name::VmName;

/// How many single files are told about.
const MAX_TOLD: u64 = 100;

/// Copy files into VMs, out of them, and between them
#[derive(Debug, clap::Args)]
#[command(override_usage = "ai-vm cp [OPTIONS] SRC... DST")]
#[command(after_help = "Examples:\n  \
    ai-vm cp notes.txt web:                    into the home directory\n  \
    ai-vm cp -r src web:app                    as ~/app/src, or as ~/app if that is not there yet\n  \
    ai-vm cp -r web:/var/log/nginx logs/       out of the VM\n  \
    ai-vm cp -ru --delete src/. web:work       keep a directory like this one\n  \
    ai-vm cp web:a.tar db:                     from one VM to another\n  \
    pg_dump x | ai-vm cp - db:x.sql; ai-vm cp db:x.sql - | wc -l\n  \
    ai-vm cp app.conf web,db:                  into several\n  \
    ai-vm cp -ru -l team=red src/. :work       into each VM with this label; with --all into every one\n  \
    ai-vm cp --all :/var/log/app.log logs/     out of each, as logs/NAME/app.log\n\n\
    As cp does it: into DST if that is a directory, ends in `/`, or there are several sources, otherwise to that \
    name. A source that ends in `.` stands for what is inside it. Without -r a link is copied as its file, with -r as a \
    link. Modes and times are kept, owners and hard links are not. A file appears whole or not at all, and a link in \
    its place is replaced.\n\n\
    Exit codes: 0 all was copied, 1 something was not, 2 usage, 3 no such VM or file, 255 the connection was lost; of \
    many, that of the failures where they agree, else 1.")]
pub struct Args {
    /// What to copy, and last where to: NAME:PATH in a VM, NAME,NAME:PATH in several, :PATH in those of `--all` and `-l`,
    /// a path here (`./a:b` if its name has a colon), or `-` for stdin and stdout
    #[arg(required = true, num_args = 2.., value_name = "PATH")]
    paths: Vec<OsString>,
    /// Copy directories with what is in them
    #[arg(short, long, visible_short_alias = 'R')]
    recursive: bool,
    /// Copy only files whose size, time or mode differs
    #[arg(short, long)]
    update: bool,
    /// Copy only files whose content or mode differs; reads all of them
    #[arg(long)]
    checksum: bool,
    /// Afterwards remove what the source does not have from the directories that were copied
    #[arg(long, requires = "recursive")]
    delete: bool,
    /// Show no progress
    #[arg(short, long)]
    pub(super) quiet: bool,
    #[command(flatten)]
    pub(super) group: Group,
    #[command(flatten)]
    pub(super) reach: ReachArgs,
    // Last, because its heading goes on.
    #[command(flatten)]
    pub(super) each: EachArgs,
}

/// Copies.
pub fn run(ctx: &Context, args: &Args) -> Result<u8, Failure> {
    let arguments = args.paths.iter().map(|path| Argument::parse(path));
    let arguments = arguments.collect::<Result<Vec<_>, _>>()?;
    match cp_many::names(ctx, args, &arguments)? {
        Some(names) => cp_many::run(ctx, args, &arguments, &names),
        None => one(ctx, args, arguments),
    }
}

fn one(ctx: &Context, args: &Args, arguments: Vec<Argument>) -> Result<u8, Failure> {
    let locations = arguments.into_iter().filter_map(|argument| match argument {
        Argument::One(location) => Some(location),
        Argument::Many(..) => None,
    });
    let request = request(ctx, args, locations.collect())?;
    let watch = Arc::new(Watch::new(teller(ctx.progress(), None)));
    let vm = request.vm().cloned();
    let line = ctx.listener(vm.as_ref().map_or("cp", VmName::as_str));
    let listener = |name: &VmName| -> Listener {
        if vm.as_ref() == Some(name) { Arc::clone(&line) } else { ctx.listener(name.as_str()) }
    };
    ctx.block_on(async {
        let wanted = Wanted::until_signal(vec![Arc::clone(&watch)]).map_err(RuntimeError)?;
        let guests = Guests {
            engine: &ctx.engine,
            route: args.reach.route(),
            start: args.reach.start,
            listener: &listener,
            wanted,
        };
        let copy = Copy { guests, watch: Arc::clone(&watch) };
        tokio::select! {
            copied = copy.run(&request, standard_streams()) => copied.map_err(failure),
            never = copying::show(&line, &watch), if !args.quiet => match never {},
        }
    })??;
    Ok(u8::from(watch.problems() > 0))
}

/// The streams that `-` stands for.
pub(super) fn standard_streams() -> Ends {
    Ends { stdin: Box::new(io::stdin()), stdout: Box::new(io::stdout()) }
}

/// Returns what is to be copied: the last one is where to.
pub(super) fn request(ctx: &Context, args: &Args, mut sources: Vec<Location>) -> Result<Request, Failure> {
    let compares = args.update || args.checksum || args.delete;
    if compares && sources.contains(&Location::Stream) {
        let message = "`-` has nothing that could be compared".to_owned();
        let hint = "leave `-u`, `--checksum` and `--delete` away".to_owned();
        return Err(UsageError { message, hint }.into());
    }
    // clap sees to it that there are two.
    let target = sources.pop().unwrap_or(Location::Stream);
    if sources.contains(&Location::Stream) {
        may_read_stdin(ctx, "give it a file: `... < FILE`, or name the file instead of `-`")?;
    }
    let options = Options { update: args.update || args.checksum, delete: args.delete };
    Ok(Request { sources, target, recursive: args.recursive, options, sums: args.checksum })
}

fn failure(error: TransferError) -> Failure {
    match error {
        TransferError::Cancelled(code) => Failure::Shown(code),
        TransferError::Stopped(Stop::Write { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => {
            Failure::stdout(source)
        }
        error => error.into(),
    }
}

/// Returns what tells about single files; of which VM, where there are several.
pub(super) fn teller(progress: Progress, about: Option<VmName>) -> impl Fn(Report) + Send + Sync + 'static {
    let told = AtomicU64::new(0);
    move |report| {
        let (is_problem, text) = match report {
            Report::Problem(text) => (true, text),
            Report::Skipped(text) => (false, text),
        };
        let text = filter::one_line(&text);
        let name = about.as_ref().filter(|name| !is_about(&text, name)).map(VmName::as_str);
        progress.beside(|terminal| match told.fetch_add(1, Ordering::Relaxed) {
            count if count < MAX_TOLD && is_problem => terminal.problem(name, &text),
            count if count < MAX_TOLD => terminal.warn_of(name, &text),
            MAX_TOLD => terminal.warn_of(name, "more such files are not shown"),
            _ => {}
        });
    }
}

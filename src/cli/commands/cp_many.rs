//! `ai-vm cp` for many VMs: the same copy for each at the same time, one result each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use crate::cli::commands::cp::{Args, request, standard_streams, teller};
use crate::cli::context::Context;
use crate::cli::copying;
use crate::cli::each::{self, Job};
use crate::cli::failure::{Failure, RuntimeError, UsageError};
use crate::cli::targets::Targets;
use crate::lifecycle::event::Listener;
use crate::transfer::copy::{Copy, Request};
use crate::transfer::error::TransferError;
use crate::transfer::location::{Argument, Location};
use crate::transfer::session::{Guests, Wanted};
use crate::transfer::watch::Watch;
use crate::ui::progress;
use crate::vm::name::VmName;

/// Returns the VMs that a copy is for; `None` where it is one copy, of which nothing was asked that belongs to many.
pub fn names(ctx: &Context, args: &Args, arguments: &[Argument]) -> Result<Option<Vec<VmName>>, Failure> {
    let mut is_many = false;
    let mut named: BTreeSet<BTreeSet<&VmName>> = BTreeSet::new();
    for argument in arguments {
        if let Argument::Many(names, _) = argument {
            is_many = true;
            named.extend((!names.is_empty()).then(|| names.iter().collect()));
        }
    }
    let names = match (named.pop_first(), args.group.is_given()) {
        (Some(_), _) if !named.is_empty() => {
            return Err(usage("the paths are in different VMs", "copy one after the other"));
        }
        (Some(_), true) => {
            let message = "the names before a path say which VMs, and so does `--all` or `-l`";
            return Err(usage(message, "leave the names away: `:PATH`"));
        }
        (None, true) if !is_many => {
            let message = "`--all` and `-l` say which VMs, but no path is in them";
            return Err(usage(message, "a path in each of them is `:PATH`"));
        }
        (None, false) if is_many => {
            let message = "`:PATH` is in VMs, and nothing says in which";
            return Err(usage(message, "add `--all` or `-l KEY=VALUE`; a file here is `./:NAME`"));
        }
        (Some(names), false) => names.into_iter().cloned().collect(),
        (None, true) => Vec::new(),
        (None, false) if args.each.are_given() => {
            let last = arguments.iter().rev().find_map(|argument| match argument {
                Argument::One(Location::Guest(name, _)) => Some(vec![name.clone()]),
                _ => None,
            });
            match last {
                Some(name) => name,
                None => return Ok(None),
            }
        }
        (None, false) => return Ok(None),
    };
    let is_stream = |argument: &Argument| *argument == Argument::One(Location::Stream);
    if is_many && arguments.iter().any(is_stream) {
        let message = "`-` is one stream, which many VMs cannot share";
        return Err(usage(message, "name a file, or one VM: `ai-vm cp - NAME:FILE`"));
    }
    if args.each.is_json() && arguments.last().is_some_and(is_stream) {
        return Err(usage("`--json` and the file would both go to stdout", "leave `--json` away"));
    }
    let targets = Targets { names, group: args.group.clone() };
    Ok(Some(targets.require_names(ctx, "cp")?))
}

fn usage(message: &str, hint: &str) -> Failure {
    UsageError { message: message.to_owned(), hint: hint.to_owned() }.into()
}

/// Copies for each VM. What comes out of many to one place goes into a directory for each.
pub fn run(ctx: &Context, args: &Args, arguments: &[Argument], names: &[VmName]) -> Result<u8, Failure> {
    let is_apart = match arguments.split_last() {
        Some((Argument::One(_), sources)) => sources.iter().any(|one| matches!(one, Argument::Many(..))),
        _ => false,
    };
    let request_of = |name: &VmName| {
        let mut request = request(ctx, args, arguments.iter().map(|argument| argument.of(name)).collect())?;
        if is_apart {
            request.target = request.target.inside(name);
        }
        Ok((name.clone(), Arc::new(request)))
    };
    let requests = names.iter().map(request_of).collect::<Result<BTreeMap<_, _>, Failure>>()?;
    if let Some(request) = requests.values().next() {
        request.check()?;
    }
    let made = match arguments.last() {
        Some(Argument::One(Location::Host(place))) if is_apart => made(place.on_host())?,
        _ => None,
    };
    // Each VM needs a few descriptors; the usual limit is for programs that still use select(2).
    crate::host::process::raise_descriptor_limit();
    let code = copy_all(ctx, args, names, &requests);
    if let Some(dir) = made {
        // It stays when something of the copy is in it.
        let _ = std::fs::remove_dir(dir);
    }
    code
}

/// Makes a directory that is not there yet, and returns it then.
fn made(dir: PathBuf) -> Result<Option<PathBuf>, Failure> {
    if dir.is_dir() {
        return Ok(None);
    }
    match std::fs::create_dir(&dir) {
        Ok(()) => Ok(Some(dir)),
        Err(source) => Err(TransferError::Host { action: "make", path: dir, source }.into()),
    }
}

fn copy_all(
    ctx: &Context,
    args: &Args,
    names: &[VmName],
    requests: &BTreeMap<VmName, Arc<Request>>,
) -> Result<u8, Failure> {
    let watch =
        |name: &VmName| (name.clone(), Arc::new(Watch::new(teller(ctx.progress(), Some(name.clone())))));
    let watches: BTreeMap<VmName, Arc<Watch>> = names.iter().map(watch).collect();
    let all = ctx.block_on(async {
        let wanted = Wanted::until_signal(watches.values().cloned().collect()).map_err(RuntimeError)?;
        let work = |job: Job| {
            let (request, watch) = (requests.get(&job.name).cloned(), watches.get(&job.name).cloned());
            let (wanted, route, start) = (wanted.clone(), args.reach.route(), args.reach.start);
            let quiet = args.quiet;
            async move {
                // There is one of each for every name.
                let (Some(request), Some(watch)) = (request, watch) else { return Ok(String::new()) };
                let line = job.listener;
                let listener = |_: &VmName| -> Listener { Arc::clone(&line) };
                let guests = Guests { engine: &job.engine, route, start, listener: &listener, wanted };
                let copy = Copy { guests, watch: Arc::clone(&watch) };
                tokio::select! {
                    copied = copy.run(&request, standard_streams()) => copied?,
                    never = copying::show(&line, &watch), if !quiet => match never {},
                }
                match watch.problems() {
                    0 => Ok(words(&watch)),
                    count => Err(TransferError::Incomplete { count }.into()),
                }
            }
        };
        Ok::<_, Failure>(each::run(ctx, args.each, names.to_vec(), work).await)
    })?;
    each::report(ctx, "cp", args.each, all?)
}

fn words(watch: &Watch) -> String {
    let copied = match watch.files() {
        0 => "nothing to copy".to_owned(),
        1 => format!("copied 1 file, {}", progress::size(watch.content())),
        files => format!("copied {files} files and directories, {}", progress::size(watch.content())),
    };
    match watch.removed() {
        0 => copied,
        removed => format!("{copied}; removed {removed}"),
    }
}

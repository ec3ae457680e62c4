//! `ai-vm rebuild`: lets VMs apply their own configuration, and follows that wherever the connection goes.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::cli::commands::exec::ReachArgs;
use crate::cli::context::Context;
use crate::cli::each::{self, EachArgs, Job};
use crate::cli::failure::{Failure, RuntimeError};
use crate::cli::fleet_output::{FleetSink, Lines, prefixes};
use crate::cli::targets::Targets;
use crate::diagnostic::Diagnostic;
use crate::lifecycle::apart::{End, News, What};
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::event::Event;
use crate::lifecycle::image;
use crate::lifecycle::present::Present;
use crate::lifecycle::reach::Route;
use crate::lifecycle::rebuild::Rebuild;
use crate::lifecycle::rebuild::error::RebuildError;
use crate::ssh::program::Sink;
use crate::ssh::signals;
use crate::ui::progress::Progress;
use crate::ui::terminal::Terminal;
use crate::vm::guest::Guest;
use crate::vm::name::VmName;

/// How many parts of a log wait here for who reads them.
const QUEUE: usize = 16;

/// Let VMs apply their own configuration; goes on by itself when the connection is lost
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A Debian VM installs and removes what /etc/ai-vm/packages says, and runs what is new in \
    /etc/ai-vm/setup.d; a NixOS VM switches to /etc/nixos. It goes on by itself when the connection is lost, which is \
    made anew, or when this command ends; called again while one is under way, it shows that one's log from the \
    beginning. Ctrl-C leaves it going on.\n\n\
    Examples:\n  \
    ai-vm cp packages web:/etc/ai-vm/packages && ai-vm rebuild web\n  \
    ai-vm rebuild -l team=red -j 4\n  \
    ai-vm rebuild web --log                                 what the last one said\n  \
    ai-vm exec web -- rebuild --dry-run                     what it would do\n  \
    ai-vm exec web -- sudo systemctl stop ai-vm-rebuild     ends one that is under way\n\n\
    Exit codes: the rebuild's own; 125 it was not begun, 255 how it ended is not known."
)]
pub struct Args {
    #[command(flatten)]
    targets: Targets,
    #[command(flatten)]
    reach: ReachArgs,
    /// Return as soon as it is under way
    #[arg(short, long)]
    detach: bool,
    /// Show what the last one said, and begin none
    #[arg(long, conflicts_with_all = ["detach", "json"])]
    log: bool,
    /// Make the image anew from here where its recipe or its flake has changed, and tell which VMs have an older one
    #[arg(long, conflicts_with_all = ["detach", "log", "start"])]
    host: bool,
    #[command(flatten)]
    many: EachArgs,
}

/// What becomes of the rebuild of one VM, when this command ends before it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    NotBegun,
    UnderWay,
    Over,
}

type Stages = Arc<Mutex<BTreeMap<VmName, Stage>>>;

/// Rebuilds the VMs that are named, all at the same time.
pub fn run(ctx: &Context, args: &Args) -> Result<u8, Failure> {
    let names = args.targets.named_own(ctx, "rebuild")?;
    if args.host {
        let code = each::each(ctx, "rebuild", args.many, names.clone(), from_host)?;
        say_which_are_outdated(ctx, &names)?;
        return Ok(code);
    }
    let what = match (args.detach, args.log) {
        (true, _) => What::Begin,
        (_, true) => What::Log,
        _ => What::Follow,
    };
    // Each VM needs a few descriptors; the usual limit is for programs that still use select(2).
    crate::host::process::raise_descriptor_limit();
    let stages: Stages =
        Arc::new(Mutex::new(names.iter().map(|name| (name.clone(), Stage::NotBegun)).collect()));
    let all = ctx.block_on(async {
        let mut signals = signals::pass_on().map_err(RuntimeError)?;
        let out = ctx.output(io::stdout(), ctx.terminal.stdout);
        let alone = names.len() == 1 && !args.many.are_given();
        let prefixes = if alone { vec![String::new()] } else { prefixes(&names, &ctx.terminal) };
        let prefixes: BTreeMap<_, _> = names.iter().cloned().zip(prefixes).collect();
        let work = |job: Job| {
            let prefix = prefixes.get(&job.name).cloned().unwrap_or_default();
            let shown = (!args.many.is_json()).then(|| {
                let lines = Lines::new(prefix, out.share(), ctx.terminal.stdout);
                (FleetSink::Lines(lines), out.share())
            });
            let how = (what, args.reach.route(), args.reach.start);
            one(ctx.progress(), how, job, shown, Arc::clone(&stages))
        };
        let rebuilding = each::run(ctx, args.many, names, work);
        let all = tokio::select! {
            all = rebuilding => Ok(all),
            code = signals::asked_to_end(&mut signals) => Err(code),
        };
        // When this ends before them, or because of --fail-fast.
        say_what_goes_on(ctx.terminal, &stages);
        tokio::select! {
            // What the reader of the log has not had by now is not missed.
            _ = out.finish() => {}
            _ = signals::asked_to_end(&mut signals) => {}
        }
        Ok::<_, Failure>(all)
    })??;
    match all {
        Ok(all) => each::report(ctx, "rebuild", args.many, all),
        Err(code) => Err(Failure::Shown(code)),
    }
}

/// Rebuilds one VM and returns what is to be said of it.
async fn one(
    progress: Progress,
    (what, route, start): (What, Route, bool),
    job: Job,
    shown: Option<(FleetSink, mpsc::Sender<Bytes>)>,
    stages: Stages,
) -> Result<String, Box<dyn Diagnostic>> {
    let Job { engine, name, listener } = job;
    let begun = Instant::now();
    let (log, chunks) = mpsc::channel(QUEUE);
    let enter = |stage| stages.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), stage);
    let note = |text: &str| progress.beside(|terminal| terminal.note_of(name.as_str(), text));
    let line = Arc::clone(&listener);
    let tell = |news| {
        enter(Stage::UnderWay);
        if what != What::Begin {
            line(Event::Passing("rebuilding".to_owned()));
        }
        match news {
            News::Begun => {}
            News::Joined if what == What::Begin => note("one was under way already"),
            News::Joined => {
                note("one is under way already and shown here; what was changed since is for the next one");
            }
            News::Lost => note("the connection is lost; trying to have one again"),
            News::Back => note("connected again"),
        }
    };
    let rebuild = Rebuild { engine: &engine, name: &name, route, start, log, tell: &tell };
    let (mut rebuilding, mut showing) =
        (std::pin::pin!(rebuild.run(what, listener)), std::pin::pin!(show(shown, chunks)));
    let ended = tokio::select! {
        biased;
        ended = &mut rebuilding => {
            showing.await;
            ended
        }
        // It ends before only when nobody reads it.
        () = &mut showing => Err(RebuildError::Unread { name: name.clone() }),
    };
    enter(Stage::Over);
    match (ended?, what) {
        (End::UnderWay, _) => Ok(format!("under way; `ai-vm rebuild {name}` follows it")),
        (End::Exited(code), What::Log) => Ok(format!("ended with exit code {code}")),
        (End::Exited(0), _) => Ok(format!("rebuilt in {:.1} s", begun.elapsed().as_secs_f64())),
        (End::Exited(code), _) => Err(RebuildError::Failed { name: name.clone(), code }.into()),
    }
}

/// Sees to it that the present image is there, and returns what lies under the VM's disk.
async fn from_host(job: Job) -> Result<String, Box<dyn Diagnostic>> {
    let Job { engine, name, listener } = job;
    let made = tokio::task::spawn_blocking(move || {
        let record = engine.registry.get(&name).map_err(LifecycleError::from)?;
        let image = match &record.guest {
            Guest::Nixos(_) => image::rebuild(&engine, &record, &listener)?,
            guest => image::ensure(&engine, guest, record.desktop.is_some(), &listener)?.image,
        };
        Ok::<_, LifecycleError>((record, image.id))
    });
    let (record, present) = made.await.map_err(LifecycleError::from)??;
    let name = &record.name;
    Ok(match (&record.guest, record.image()) {
        (Guest::Nixos(_), Some(id)) if *id == present => format!("{present} is what is built now already"),
        (Guest::Nixos(_), _) => format!("boots {present} from its next start on: `ai-vm restart {name}`"),
        (_, None) => format!("its first start makes a disk over {present}"),
        (_, Some(base)) if *base == present => format!("lies over {present}, as it should"),
        (_, Some(base)) => format!(
            "lies over {base}, where it would now be {present}, and keeps it with its disk; \
             `ai-vm start {name} --new-disk` begins anew, without what is on the disk",
        ),
    })
}

/// Says which other VMs boot a system of a kind that has been built anew.
fn say_which_are_outdated(ctx: &Context, rebuilt: &[VmName]) -> Result<(), Failure> {
    let present = Present::of(ctx.registry().layout());
    for entry in ctx.registry().list()? {
        let Ok(record) = &entry.record else { continue };
        if !rebuilt.contains(&entry.name) && present.is_outdated(record) == Some(true) {
            let name = &entry.name;
            ctx.terminal
                .status(&format!("{name}: outdated; `ai-vm rebuild {name} --host` builds it anew too"));
        }
    }
    Ok(())
}

/// Shows a log as it comes, until its end or until nobody reads it, which the way to the reader tells at once.
async fn show(shown: Option<(FleetSink, mpsc::Sender<Bytes>)>, mut chunks: mpsc::Receiver<Bytes>) {
    let Some((mut shown, reader)) = shown else {
        while chunks.recv().await.is_some() {}
        return;
    };
    loop {
        tokio::select! {
            chunk = chunks.recv() => match chunk {
                Some(chunk) => {
                    if !shown.write(chunk).await {
                        return;
                    }
                }
                None => break,
            },
            () = reader.closed() => return,
        }
    }
    // Whether it was read shows in the other stream's end.
    let _ = shown.finish().await;
}

/// Says of each VM what happens to it now that nobody follows any more.
fn say_what_goes_on(terminal: Terminal, stages: &Stages) {
    for (name, stage) in stages.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        match stage {
            Stage::Over => {}
            Stage::NotBegun => terminal.status(&format!(
                "{name}: not begun, as far as is known here; `ai-vm rebuild {name} --log` shows whether it was"
            )),
            Stage::UnderWay => terminal.status(&format!(
                "{name}: goes on; follow it again with `ai-vm rebuild {name}`, end it with \
                 `ai-vm exec {name} -- sudo systemctl stop ai-vm-rebuild`"
            )),
        }
    }
}

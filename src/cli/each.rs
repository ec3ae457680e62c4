//! The same for many VMs at once: one result each, one exit code for all.

use std::collections::BTreeMap;
use std::future::Future;

use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::parallel::Parallel;
use crate::diagnostic::Diagnostic;
use crate::fleet::each::{self, End, Outcome};
use crate::fleet::outcome::{exit_code, with_causes};
use crate::lifecycle::Engine;
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::event::Listener;
use crate::ui::mode::Mode;
use crate::vm::name::VmName;
use crate::vm::state::State;

/// How a verb goes about many VMs, and how it tells what came of it.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct EachArgs {
    #[command(flatten)]
    parallel: Parallel,
    /// Print an array of objects: name, action, ok, result, state, error (code, message, hints), exit, duration_s
    #[arg(long, help_heading = "Many VMs")]
    json: bool,
}

/// What the work on one VM gets.
pub struct Job {
    /// What works on VMs.
    pub engine: Engine,
    /// The VM.
    pub name: VmName,
    /// Who is told what happens.
    pub listener: Listener,
}

/// What came of it for one VM, as `--json` shows it. Keys are only ever added.
#[derive(Debug, Serialize)]
struct Row {
    name: VmName,
    /// The verb.
    action: &'static str,
    ok: bool,
    /// What was done, in words; `null` when it failed.
    result: Option<String>,
    /// What the VM does afterwards, as `ls` has it; `null` when there is none any more.
    state: Option<State>,
    error: Option<RowError>,
    /// What a verb has to tell besides.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<serde_json::Value>,
    /// The exit code that this VM by itself gives; `null` when the failure was another one's.
    exit: Option<u8>,
    /// From the beginning of its own part, in seconds.
    duration_s: f64,
}

/// Why it did not go well.
#[derive(Debug, Serialize)]
struct RowError {
    /// The sort of failure, or `cancelled` when the failure was another VM's.
    code: &'static str,
    message: String,
    hints: Vec<String>,
}

/// What came of it for all of them.
pub struct All {
    outcomes: Vec<Outcome>,
    panicked: bool,
}

impl EachArgs {
    /// Tells whether anything was asked for that one VM by itself does not need.
    pub const fn are_given(self) -> bool {
        self.parallel.is_given() || self.json
    }

    /// Tells whether stdout is for what programs read.
    pub const fn is_json(self) -> bool {
        self.json
    }
}

/// Does the same to many VMs at the same time. Each success is told by the words that `work` returns, each failure
/// by its error. Returns the exit code: 0 when all went well, the failures' own when they agree, else 1.
pub fn each<W, F>(
    ctx: &Context,
    action: &'static str,
    args: EachArgs,
    names: Vec<VmName>,
    work: W,
) -> Result<u8, Failure>
where
    W: FnMut(Job) -> F,
    F: Future<Output = Result<String, Box<dyn Diagnostic>>> + Send + 'static,
{
    let all = ctx.block_on(run(ctx, args, names, work))?;
    report(ctx, action, args, all)
}

/// The part of [`each`] that does the work and tells what comes of it meanwhile.
pub async fn run<W, F>(ctx: &Context, args: EachArgs, names: Vec<VmName>, mut work: W) -> All
where
    W: FnMut(Job) -> F,
    F: Future<Output = Result<String, Box<dyn Diagnostic>>> + Send + 'static,
{
    let EachArgs { parallel, json } = args;
    let several = names.len() > 1;
    let job = |name: VmName| {
        let listener = if json { ctx.warner(name.as_str()) } else { ctx.listener(name.as_str()) };
        work(Job { engine: ctx.engine.clone(), name, listener })
    };
    let mut panicked = false;
    let tell = |outcome: Result<&Outcome, _>| {
        ctx.beside_progress(|terminal| match outcome {
            Err(error) => {
                panicked = true;
                terminal.error(&LifecycleError::from(error), None);
            }
            // What came of it goes to stdout.
            Ok(_) if json && terminal.mode != Mode::Json => {}
            Ok(Outcome { name, end: End::Done(words), .. }) => terminal.done(name.as_str(), words),
            Ok(Outcome { name, end: End::Failed(error), .. }) => {
                let shown = several && !is_about(error, name) || terminal.mode == Mode::Json;
                terminal.error(error.as_ref(), Some(name.as_str()).filter(|_| shown));
                terminal.end(name.as_str(), "failed", &with_causes(error.as_ref()));
            }
            Ok(Outcome { name, end: End::Cancelled, .. }) => match terminal.mode {
                Mode::Json => terminal.end(name.as_str(), "cancelled", CANCELLED),
                _ => terminal.status(&format!("{name}: {CANCELLED}")),
            },
        });
    };
    let outcomes = each::run(names, parallel.at_once(), parallel.fail_fast, job, tell).await;
    All { outcomes, panicked }
}

/// The part of [`each`] after all of it.
pub fn report(ctx: &Context, action: &'static str, args: EachArgs, all: All) -> Result<u8, Failure> {
    report_with(ctx, action, args, all, BTreeMap::new())
}

/// The same, with what the verb has to tell of each VM in `--json`.
pub fn report_with(
    ctx: &Context,
    action: &'static str,
    args: EachArgs,
    all: All,
    mut details: BTreeMap<VmName, serde_json::Value>,
) -> Result<u8, Failure> {
    let failed = all.outcomes.iter().filter_map(|outcome| match &outcome.end {
        End::Failed(error) => Some(error.exit_code()),
        End::Done(_) | End::Cancelled => None,
    });
    let code = exit_code(failed.chain(all.panicked.then_some(1)));
    if args.json {
        let mut rows = rows(ctx, action, all.outcomes)?;
        for row in &mut rows {
            row.detail = details.remove(&row.name);
        }
        ctx.print_json(&rows)?;
    }
    Ok(code)
}

/// Tells whether what is said of a VM begins with its name, so that it need not be put before it.
pub fn is_about(text: impl std::fmt::Display, name: &VmName) -> bool {
    text.to_string().strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with(": "))
}

/// What is said of a VM that had to stand back.
const CANCELLED: &str = "ended because another one failed";

fn rows(ctx: &Context, action: &'static str, outcomes: Vec<Outcome>) -> Result<Vec<Row>, Failure> {
    let entries = outcomes.iter().filter_map(|outcome| ctx.registry().entry(outcome.name.clone()));
    let seen = ctx.observe(entries.collect())?;
    let row = |Outcome { name, end, took }: Outcome| {
        let (result, error, exit) = match end {
            End::Done(words) => (Some(words), None, Some(0)),
            End::Failed(error) => {
                let (message, hints) = (with_causes(error.as_ref()), error.hints());
                (None, Some(RowError { code: error.kind().code(), message, hints }), Some(error.exit_code()))
            }
            End::Cancelled => {
                let message = CANCELLED.to_owned();
                (None, Some(RowError { code: "cancelled", message, hints: Vec::new() }), None)
            }
        };
        let state = seen.iter().find(|vm| vm.entry.name == name).map(|vm| vm.state);
        let ok = error.is_none();
        Row { name, action, ok, result, state, error, detail: None, exit, duration_s: took.as_secs_f64() }
    };
    Ok(outcomes.into_iter().map(row).collect())
}

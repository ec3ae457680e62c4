//! `ai-vm exec` in many VMs: one command, output under each one's name, one exit code for all.

use std::io::{self, Read};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::cli::commands::exec::ReachArgs;
use crate::cli::confirm::may_read_stdin;
use crate::cli::context::Context;
use crate::cli::failure::{Failure, UsageError};
use crate::cli::fleet_output::{FleetSink, Keep, Lines, prefixes};
use crate::cli::parallel::Parallel;
use crate::cli::targets::Targets;
use crate::cli::values::duration;
use crate::fleet::exec::{self, Ends, Task};
use crate::fleet::outcome::{Outcome, exit_code};
use crate::host::files::failed;
use crate::ssh::program::{Control, Program, Sink};
use crate::ssh::signals;
use crate::ui::json::Told;
use crate::ui::mode::Mode;
use crate::ui::table;
use crate::vm::name::VmName;

/// How much is kept of each stream of each VM for `--json` and `--group`, in bytes.
const KEPT: usize = 1 << 20;

/// The longest common input, in bytes: it is kept whole, so that a slow VM does not hold the others up.
const MAX_INPUT: u64 = 64 << 20;

/// What matters only for many VMs.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Many VMs")]
pub struct ManyArgs {
    #[command(flatten)]
    parallel: Parallel,
    /// Show lines without the VM's name
    #[arg(long)]
    no_prefix: bool,
    /// Show each VM's output whole when it is done, up to 1 MiB of each stream
    #[arg(long, conflicts_with = "json")]
    group: bool,
    /// Print an array of objects: name, exit, duration_s, stdout, stderr (1 MiB of each at most), truncated, error
    #[arg(long)]
    json: bool,
    /// End the command where it takes longer than this, with exit code 124. It is told to by TERM, which
    /// OpenSSH's server does not pass on to commands of root
    #[arg(long, value_name = "TIME", value_parser = duration)]
    run_timeout: Option<Duration>,
    /// Give each VM a copy of stdin, of up to 64 MiB; without it they get none
    #[arg(short = 'i', long)]
    stdin: bool,
}

impl ManyArgs {
    /// Tells whether anything was asked for that one VM by itself does not need.
    pub const fn are_given(&self) -> bool {
        self.parallel.is_given()
            || self.no_prefix
            || self.group
            || self.json
            || self.run_timeout.is_some()
            || self.stdin
    }
}

/// What the command came to in one VM, as `--json` shows it.
#[derive(Debug, Serialize)]
struct Summary {
    name: VmName,
    exit: u8,
    duration_s: f64,
    stdout: String,
    stderr: String,
    truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Runs the command in the VMs that are named, in all at the same time.
pub fn run(
    ctx: &Context,
    targets: &Targets,
    reach: &ReachArgs,
    many: &ManyArgs,
    program: Program,
) -> Result<u8, Failure> {
    let names = targets.require_names(ctx, "exec")?;
    let task = Task {
        program,
        route: reach.route(),
        start: reach.start,
        at_once: many.parallel.at_once(),
        limit: many.run_timeout,
        fail_fast: many.parallel.fail_fast,
        stdin: if many.stdin { common_input(ctx)? } else { Bytes::new() },
    };
    // Each VM needs a few descriptors; the usual limit is for programs that still use select(2).
    crate::host::process::raise_descriptor_limit();
    let keep = many.json || many.group;
    let kept: Vec<(VmName, [Keep; 2])> =
        names.iter().map(|name| (name.clone(), [Keep::new(KEPT), Keep::new(KEPT)])).collect();
    let outcomes = ctx.block_on(async {
        let terminal = ctx.terminal;
        let (out, err) =
            (ctx.output(io::stdout(), terminal.stdout), ctx.output(io::stderr(), terminal.stderr));
        let prefixes =
            if many.no_prefix { vec![String::new(); names.len()] } else { prefixes(&names, &ctx.terminal) };
        let (to_out, to_err) = (out.share(), err.share());
        let ends = |name: &VmName| {
            let at = names.iter().position(|other| other == name).unwrap_or_default();
            let sink = |stream: usize, to: &mpsc::Sender<Bytes>, on_terminal: bool| match kept
                .get(at)
                .and_then(|(_, kept)| kept.get(stream))
                .filter(|_| keep)
            {
                Some(kept) => FleetSink::Keep(kept.clone()),
                None if stream == 1 && terminal.mode == Mode::Json => {
                    FleetSink::Lines(Lines::told(name.to_string(), to.clone()))
                }
                None => {
                    let prefix = prefixes.get(at).cloned().unwrap_or_default();
                    FleetSink::Lines(Lines::new(prefix, to.clone(), on_terminal))
                }
            };
            Ends {
                stdout: sink(0, &to_out, terminal.stdout),
                stderr: sink(1, &to_err, terminal.stderr),
                listener: if many.json { ctx.warner(name.as_str()) } else { ctx.listener(name.as_str()) },
            }
        };
        let done = |outcome: &Outcome| {
            ctx.beside_progress(|terminal| {
                let name = outcome.name.as_str();
                if let Some(error) = outcome.end.error().filter(|_| !many.json || terminal.mode == Mode::Json)
                {
                    terminal.error(error, Some(name));
                }
                let (result, code) = (outcome.end.result(), outcome.end.code());
                terminal.end(name, result, &outcome.end.reason().unwrap_or(format!("exit code {code}")));
            });
        };
        let control = announced(ctx)?;
        let outcomes = exec::run(&ctx.engine, names.clone(), task, ends, done, control).await;
        drop((to_out, to_err));
        // What the reader of these streams has not had by now shows in the exit code of the VM.
        let _ = (out.finish().await, err.finish().await);
        Ok::<_, Failure>(outcomes)
    })??;
    if many.json {
        ctx.print_json(&outcomes.iter().map(|outcome| summary(outcome, &kept)).collect::<Vec<_>>())?;
    } else {
        if many.group {
            show_groups(ctx, &outcomes, &kept)?;
        }
        show_failures(ctx, &outcomes);
    }
    Ok(exit_code(outcomes.iter().map(|outcome| outcome.end.code())))
}

/// Passes signals on, and says what the first one did: the second one gives up.
fn announced(ctx: &Context) -> Result<mpsc::Receiver<Control>, Failure> {
    let mut signals = signals::pass_on().map_err(crate::cli::failure::RuntimeError)?;
    let (sender, receiver) = mpsc::channel(8);
    let progress = ctx.progress();
    tokio::spawn(async move {
        while let Some(control) = signals.recv().await {
            if let Control::Signal(name) = &control {
                let said = format!("{name} is passed on to all; once more gives up");
                progress.beside(|terminal| terminal.status(&said));
            }
            if sender.send(control).await.is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}

fn common_input(ctx: &Context) -> Result<Bytes, Failure> {
    may_read_stdin(ctx, "give it a file: `... < FILE`, or leave `--stdin` away")?;
    let mut input = Vec::new();
    let read = io::stdin().lock().take(MAX_INPUT + 1).read_to_end(&mut input);
    read.map_err(failed("read", std::path::Path::new("/dev/stdin")))?;
    if input.len() as u64 > MAX_INPUT {
        let message = "stdin is longer than 64 MiB, which is the most that is given to many VMs".to_owned();
        return Err(UsageError { message, hint: "copy it as a file first".to_owned() }.into());
    }
    Ok(input.into())
}

fn kept_of(name: &VmName, kept: &[(VmName, [Keep; 2])]) -> (String, String, bool) {
    let Some((_, [out, err])) = kept.iter().find(|(other, _)| other == name) else {
        return Default::default();
    };
    let (out, err) = (out.take(), err.take());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&out.bytes), text(&err.bytes), out.truncated || err.truncated)
}

fn summary(outcome: &Outcome, kept: &[(VmName, [Keep; 2])]) -> Summary {
    let (stdout, stderr, truncated) = kept_of(&outcome.name, kept);
    Summary {
        name: outcome.name.clone(),
        exit: outcome.end.code(),
        duration_s: outcome.took.as_secs_f64(),
        stdout,
        stderr,
        truncated,
        error: outcome.end.reason(),
    }
}

/// Shows each VM's output whole, under its name.
fn show_groups(ctx: &Context, outcomes: &[Outcome], kept: &[(VmName, [Keep; 2])]) -> Result<(), Failure> {
    for outcome in outcomes {
        let (out, err, truncated) = kept_of(&outcome.name, kept);
        let lines = |text: &str, on_terminal: bool| -> String {
            let shown = |line: &str| {
                if on_terminal { crate::ui::filter::coloured_line(line) } else { line.to_owned() }
            };
            text.lines().map(|line| format!("{}\n", shown(line))).collect()
        };
        if ctx.terminal.mode != Mode::Json {
            ctx.terminal.status(&format!("== {}", outcome.name));
        }
        ctx.print(&lines(&out, ctx.terminal.stdout))?;
        if ctx.terminal.mode == Mode::Json {
            let about = outcome.name.as_str();
            err.lines().for_each(|line| ctx.terminal.told(Told::Stderr { about, message: line.to_owned() }));
        } else if !err.is_empty() {
            ctx.terminal.filtered(lines(&err, ctx.terminal.stderr).trim_end_matches('\n'));
        }
        if truncated {
            ctx.terminal.warn_of(Some(outcome.name.as_str()), "only the first MiB of its output is shown");
        }
    }
    Ok(())
}

/// Says at the end where the command failed, and how.
fn show_failures(ctx: &Context, outcomes: &[Outcome]) {
    let failed: Vec<&Outcome> = outcomes.iter().filter(|outcome| outcome.end.code() != 0).collect();
    // Programs have been told of each.
    if failed.is_empty() || ctx.terminal.mode == Mode::Json {
        return;
    }
    let rows = failed.iter().map(|outcome| {
        let took = format!("{:.1} s", outcome.took.as_secs_f64());
        vec![
            outcome.name.to_string(),
            outcome.end.code().to_string(),
            took,
            outcome.end.reason().unwrap_or_default(),
        ]
    });
    let text = table::render(&ctx.terminal, &["FAILED IN", "EXIT", "TIME", "WHY"], rows.collect());
    ctx.terminal.status(text.trim_end_matches('\n'));
}

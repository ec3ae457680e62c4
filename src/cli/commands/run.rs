//! `ai-vm run`: one prompt for agents without a terminal, in many VMs, several times in each.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::agents::agent::AgentId;
use crate::agents::run::error::RunError;
use crate::agents::run::event::{Event, Reader};
use crate::agents::run::{Run, Task};
use crate::cli::commands::exec::ReachArgs;
use crate::cli::commands::run_report::{Key, Row, Stage, is_alone, report, say_what_goes_on};
use crate::cli::commands::run_words;
use crate::cli::config_sync;
use crate::cli::context::Context;
use crate::cli::failure::{Failure, RuntimeError, UsageError};
use crate::cli::fleet_output::prefixes;
use crate::cli::prompt;
use crate::cli::targets::{Group, Targets};
use crate::cli::values::duration;
use crate::diagnostic::Diagnostic;
use crate::fleet::each;
use crate::fleet::outcome::with_causes;
use crate::host::random;
use crate::lifecycle::Engine;
use crate::lifecycle::apart::News;
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::event::{Event as Told, Listener};
use crate::lifecycle::reach::Route;
use crate::ssh::signals;
use crate::ui::filter;
use crate::ui::mode::Mode;
use crate::ui::terminal::Terminal;

/// The longest prompt, in bytes: Claude Code reads no more from stdin.
const MAX_PROMPT: usize = 10 << 20;

/// How many parts of a log wait here for who reads them.
const QUEUE: usize = 16;

/// Give agents in VMs a prompt, wait for what they make of it, and show that side by side
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "ai-vm run [OPTIONS] NAME... -- PROMPT",
    after_help = "Claude Code gets the prompt by `start-claude -p`, after the logins and the configuration of this machine, as with \
    `exec NAME -- start-claude`. Each run goes on by itself in its VM: a lost connection is made anew and nothing is missed, \
    Ctrl-C and --detach leave it going on; what has not begun by then does not begin. One run by itself prints its answer to \
    stdout, several a table; what they do meanwhile goes to stderr. What they said is kept in the VM and here.\n\n\
    Examples:\n  \
    ai-vm run web -- 'why does the build fail?'\n  \
    ai-vm run -l team=red -C app --max 4 -- 'update the dependencies, run the tests'\n  \
    ai-vm run web --count 3 --json -- 'propose a name' | jq -r '.[].result'\n  \
    ai-vm run --all --agent-cmd 'codex exec -' -- - <task.md\n  \
    ai-vm agents logs -f web                                goes on showing one that was left\n\n\
    Exit codes: the agents' own where they agree, else 1; 124 ended by --run-timeout, 125 it was not begun, 143 it was \
    stopped, 255 how it ended is not known."
)]
pub struct Args {
    #[command(flatten)]
    targets: Targets,
    #[command(flatten)]
    reach: ReachArgs,
    /// Run it so often in each VM, at the same time; $AI_VM_RUN there says which one it is, from 1 on
    #[arg(short = 'n', long, value_name = "COUNT", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=1000))]
    count: u32,
    /// Have at most this many run at the same time in all VMs [default: all]
    #[arg(short = 'j', long, value_name = "COUNT")]
    max: Option<NonZeroUsize>,
    /// Work in this directory of the VM [default: the home directory]
    #[arg(short = 'C', long, value_name = "DIR", default_value = ".", hide_default_value = true)]
    cwd: OsString,
    /// Another agent: a line for the login shell there, whose stdin is the prompt; up to 100 KiB it is in $AI_VM_PROMPT too
    #[arg(long, value_name = "COMMAND")]
    agent_cmd: Option<String>,
    /// End it where it takes longer than this, with exit code 124
    #[arg(long, value_name = "TIME", value_parser = duration)]
    run_timeout: Option<Duration>,
    /// Return as soon as all are under way; what is printed are VMs and IDs
    #[arg(short, long, conflicts_with = "max")]
    detach: bool,
    /// Print an array of objects: name, run, id, state, exit, duration_s, turns, cost_usd, session_id, result, log, error
    #[arg(long)]
    json: bool,
    /// What they are to do; `-`, or none, stands for stdin
    #[arg(last = true, value_name = "PROMPT")]
    prompt: Vec<String>,
}

/// What is known of each, also when this ends before them.
pub type Rows = Arc<Mutex<BTreeMap<Key, Row>>>;

/// Runs it in the VMs that are named.
pub fn run(ctx: &Context, args: &Args) -> Result<u8, Failure> {
    let names = args.targets.named_own(ctx, "run")?;
    let task = Arc::new(Task {
        cwd: args.cwd.clone(),
        line: args.agent_cmd.clone(),
        prompt: prompt_of(ctx, args)?.into(),
        limit: args.run_timeout,
    });
    if task.line.is_none() {
        let known = names.iter().filter(|name| ctx.registry().entry((*name).clone()).is_some());
        let known = Targets { names: known.cloned().collect(), group: Group::default() };
        config_sync::before(ctx, &known, &args.reach, &[OsString::from("start-claude")]);
    }
    // The first of each VM before the second of any.
    let numbered = (1..=args.count).flat_map(|number| names.iter().map(move |name| (name.clone(), number)));
    let key = |(name, number)| Ok(Key { name, number, of: args.count, id: new_id()? });
    let keys = numbered.map(key).collect::<Result<Vec<_>, LifecycleError>>()?;
    let rows: Rows = Arc::new(Mutex::new(keys.iter().map(|key| (key.clone(), Row::default())).collect()));
    // Each run needs a few descriptors; the usual limit is for programs that still use select(2).
    crate::host::process::raise_descriptor_limit();
    let alone = is_alone(&keys);
    let colour = ctx.terminal.colour && ctx.terminal.stderr;
    let prefixes = prefixes(&keys, &Terminal { colour, ..ctx.terminal });
    let prefixes: BTreeMap<_, _> = keys.iter().cloned().zip(prefixes).collect();
    let work = |key: Key| {
        let shows = !args.json || ctx.terminal.mode.is_asked_for();
        let listener: Listener = if shows { ctx.listener(&key.to_string()) } else { Arc::new(|_| {}) };
        let prefix = prefixes.get(&key).cloned().unwrap_or_default();
        let (progress, plain) = (ctx.progress(), alone && !args.json && !args.detach);
        let about = key.to_string();
        let shown = move |event: &Event| match event {
            // The answer of an agent that says nothing else.
            Event::Line(line) if plain => {
                let shown = |terminal: &Terminal| {
                    let line = if terminal.stdout { filter::coloured_line(line) } else { line.clone() };
                    terminal.data(&format!("{line}\n")).is_ok()
                };
                progress.beside(shown)
            }
            event => {
                if let Some(words) = run_words::brief(event).filter(|_| shows) {
                    progress.beside(|terminal| match terminal.mode {
                        Mode::Json => terminal.note_of(&about, &words),
                        _ => terminal.filtered(&format!("{prefix}{words}")),
                    });
                }
                true
            }
        };
        let one = One {
            engine: ctx.engine.clone(),
            task: Arc::clone(&task),
            route: args.reach.route(),
            start: args.reach.start,
            detach: args.detach,
            rows: Arc::clone(&rows),
        };
        one.run(key, listener, shown)
    };
    let at_once = args.max.map_or(usize::MAX, NonZeroUsize::get);
    let ended = ctx.block_on(async {
        let mut signals = signals::pass_on().map_err(RuntimeError)?;
        let tell = |outcome: Result<&each::Outcome<Key>, _>| {
            ctx.beside_progress(|terminal| match outcome {
                Err(error) => terminal.error(&LifecycleError::from(error), None),
                Ok(_) if args.json && terminal.mode != Mode::Json => {}
                Ok(each::Outcome { name, end: each::End::Failed(error), .. }) => {
                    let about = name.to_string();
                    terminal.error(error.as_ref(), Some(about.as_str()).filter(|_| !alone));
                    terminal.end(&about, "failed", &with_causes(error.as_ref()));
                }
                Ok(each::Outcome { name, end: each::End::Done(words), .. }) => {
                    terminal.end(&name.to_string(), "ok", words);
                }
                Ok(each::Outcome { name, end: each::End::Cancelled, .. }) => {
                    terminal.end(&name.to_string(), "cancelled", "");
                }
            });
        };
        let all = each::run(keys, at_once, false, work, tell);
        Ok::<_, Failure>(tokio::select! {
            all = all => Ok(all),
            code = signals::asked_to_end(&mut signals) => Err(code),
        })
    })??;
    let rows = std::mem::take(&mut *rows.lock().unwrap_or_else(PoisonError::into_inner));
    match ended {
        Ok(outcomes) => report(ctx, (args.json, args.detach), outcomes, rows),
        Err(code) => {
            say_what_goes_on(ctx, &rows);
            Err(Failure::Shown(code))
        }
    }
}

fn prompt_of(ctx: &Context, args: &Args) -> Result<String, Failure> {
    let stdin = ["-".to_owned()];
    let words =
        if args.prompt.is_empty() && !io::stdin().is_terminal() { &stdin } else { args.prompt.as_slice() };
    prompt::read(ctx, words, MAX_PROMPT)?.ok_or_else(|| {
        let message = "`ai-vm run` needs to know what is to be done".to_owned();
        UsageError { message, hint: "it comes after `--`: `ai-vm run NAME -- 'fix the tests'`".to_owned() }
            .into()
    })
}

fn new_id() -> Result<AgentId, LifecycleError> {
    let digits = random::hex128()?;
    // They are hexadecimal digits, and more than an ID has.
    AgentId::of_random(&digits).ok_or_else(|| io::Error::other("no random digits").into())
}

/// What each run gets.
struct One {
    engine: Engine,
    task: Arc<Task>,
    route: Route,
    start: bool,
    detach: bool,
    rows: Rows,
}

impl One {
    /// Begins one, and follows it unless it is to be left. `shown` is false when nobody reads it any more.
    async fn run(
        self,
        key: Key,
        listener: Listener,
        shown: impl Fn(&Event) -> bool + Send + Sync,
    ) -> Result<String, Box<dyn Diagnostic>> {
        let change = |change: &dyn Fn(&mut Row)| {
            self.rows.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&key).map(change);
        };
        let line = Arc::clone(&listener);
        let tell = |news| match news {
            News::Begun | News::Joined => {
                change(&|row| row.stage = Stage::UnderWay);
                if !self.detach {
                    line(Told::Passing("working".to_owned()));
                }
            }
            News::Lost => {
                shown(&Event::Said("the connection is lost; trying to have one again".to_owned()));
            }
            News::Back => {
                shown(&Event::Said("connected again".to_owned()));
            }
        };
        let (log, mut chunks) = mpsc::channel(QUEUE);
        let Self { engine, route, start, .. } = &self;
        let run =
            Run { engine, name: &key.name, id: &key.id, route: *route, start: *start, log, tell: &tell };
        let running = async {
            match self.detach {
                true => run.begin(&self.task, key.number, listener).await,
                false => run.follow(&self.task, key.number, listener).await,
            }
        };
        let hear = |event: Event| {
            let is_read = shown(&event);
            change(&|row| row.hear(&event));
            is_read
        };
        let reading = async move {
            let mut reader = Reader::default();
            while let Some(chunk) = chunks.recv().await {
                if !reader.take(&chunk).into_iter().all(&hear) {
                    return;
                }
            }
            reader.finish().map(hear);
        };
        let (ended, ()) = tokio::join!(running, reading);
        // An agent that calls its own end a failure has failed, whatever its exit code is.
        let (name, id) = (key.name.clone(), key.id.clone());
        let ended = match (ended, self.failure(&key)) {
            (Ok(()), Some(said)) => Err(RunError::Failed { name, id, code: 1, said }),
            (Err(RunError::Failed { code, said: silent, .. }), Some(said)) if silent.is_empty() => {
                Err(RunError::Failed { name, id, code, said })
            }
            (ended, _) => ended,
        };
        change(&|row| row.end(&ended, self.detach));
        ended.map(|()| String::new()).map_err(Into::into)
    }

    /// Returns what an agent said of its end, where it calls that a failure.
    fn failure(&self, key: &Key) -> Option<String> {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.get(key)?.report.as_ref().filter(|report| report.failed).map(|report| report.text.clone())
    }
}

//! `ai-vm agents`: what agents do in all VMs, and one of them: looked at, spoken to, waited for, ended.

use std::time::Duration;

use crate::agents::agent::{Agent, AgentId, Kind, NotOne, Prefix};
use crate::agents::error::AgentError;
use crate::agents::guest::{Guest, Until};
use crate::cli::commands::agents_list::{self, ListArgs};
use crate::cli::commands::agents_logs;
use crate::cli::commands::claude;
use crate::cli::commands::exec::ReachArgs;
use crate::cli::context::Context;
use crate::cli::each::{EachArgs, each};
use crate::cli::failure::{Failure, UsageError};
use crate::cli::prompt;
use crate::cli::targets::each_once;
use crate::cli::values::{duration, value};
use crate::diagnostic::Diagnostic;
use crate::fleet::outcome::NOT_RUN;
use crate::lifecycle::reach::Route;
use crate::vm::name::VmName;

/// How long a VM may take to do what is asked of one of its agents.
pub(super) const PATIENCE: Route = Route { limit: Duration::from_secs(60), shared: true };

/// List what agents do in all VMs; connect to one, show what it said, send it something, wait for it, end it
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    override_usage = "ai-vm agents [OPTIONS] [NAME]...\n       ai-vm agents attach|logs|send|stop|wait NAME [ID]",
    after_help = "States, as the VMs say: working, waiting (for whom), done (it has nothing to do), failed (with its exit code), \
    stopped (from here), gone (nobody saw its end), running (nobody says more). Of Claude Code its hooks tell them, which \
    start-claude sets.\n\n\
    Examples:\n  \
    ai-vm agents                              in all VMs that run\n  \
    ai-vm agents --watch\n  \
    ai-vm agents attach web                   the only one there; Ctrl-] leaves it\n  \
    ai-vm agents logs web 3f\n  \
    ai-vm agents send web 3f -- 'and now the tests'\n  \
    ai-vm agents wait web db --for done --timeout 1h\n  \
    ai-vm agents stop web\n\n\
    Exit codes: 0 done, 3 no such VM or agent, 4 it has ended, 5 a VM did not answer in time, or was waited for in vain."
)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    list: ListArgs,
}

/// What is done with one agent.
#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Connect this terminal to a session; Ctrl-] leaves it going on
    Attach {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        reach: ReachArgs,
    },
    /// Show what an agent has said: of a session its terminal and what has left it, of a run its log, in words
    Logs {
        #[command(flatten)]
        which: Which,
        /// Show the log of a run as the agent wrote it
        #[arg(long)]
        raw: bool,
        /// Go on as more is written, until the run ends; made anew where the connection is lost
        #[arg(short, long)]
        follow: bool,
    },
    /// Type a text into a session, and Enter
    #[command(override_usage = "ai-vm agents send NAME [ID] [-- TEXT]")]
    Send {
        #[command(flatten)]
        which: Which,
        /// The text; without one it is read from stdin
        #[arg(last = true, value_name = "TEXT")]
        text: Vec<String>,
    },
    /// End an agent: by TERM, and where that does not do it within 10 s, by KILL
    Stop {
        #[command(flatten)]
        which: Which,
    },
    /// Wait until agents are done, wait for somebody, or have ended
    #[command(
        override_usage = "ai-vm agents wait [OPTIONS] NAME [ID]\n       ai-vm agents wait [OPTIONS] NAME..."
    )]
    Wait(WaitArgs),
}

/// Names one agent.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// The VM
    #[arg(value_name = "NAME", value_parser = value::<VmName>)]
    pub name: VmName,
    /// The agent's ID or the beginning of it; not needed where the VM has just one that fits
    #[arg(value_name = "ID", value_parser = value::<Prefix>)]
    pub id: Option<Prefix>,
}

/// Arguments of `agents wait`.
#[derive(Debug, clap::Args)]
struct WaitArgs {
    /// The VM and the agent's ID, or several VMs with one agent each
    #[arg(value_name = "NAME", required = true)]
    words: Vec<String>,
    /// What is waited for: done (it has nothing to do, or ended with 0), waiting (for somebody), ended
    #[arg(long = "for", value_name = "STATE", value_enum, default_value = "done")]
    until: UntilArg,
    /// How long to wait: 90, 5m
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration)]
    timeout: Duration,
    #[command(flatten)]
    many: EachArgs,
}

/// What can be waited for.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum UntilArg {
    Done,
    Waiting,
    Ended,
}

/// Lists agents, or does what is asked with one.
pub fn run(ctx: &Context, args: Args) -> Result<u8, Failure> {
    match args.action {
        None => agents_list::run(ctx, &args.list),
        Some(Action::Attach { which, reach }) => attach(ctx, &which, &reach),
        Some(Action::Logs { which, raw, follow }) => agents_logs::run(ctx, &which, raw, follow),
        Some(Action::Send { which, text }) => {
            let stdin = [String::from("-")];
            let text = prompt::read(ctx, if text.is_empty() { &stdin } else { &text }, prompt::ARGUMENT)?
                .unwrap_or_default();
            alone(ctx, &which, "send", async |guest, id, _| {
                guest.send(id, text).await.map(|()| format!("{id} has it"))
            })
        }
        Some(Action::Stop { which }) => alone(ctx, &which, "stop", async |guest, id, _| {
            guest.stop(id).await.map(|signal| format!("{id} was ended by {signal}"))
        }),
        Some(Action::Wait(args)) => wait(ctx, &args),
    }
}

/// Tells which agents a verb is for, and what those are called.
fn fitting(verb: &str) -> (fn(&Agent) -> bool, &'static str) {
    match verb {
        "attach" | "send" => {
            (|agent| agent.kind == Kind::Session && !agent.state.is_end(), "session that goes on")
        }
        "stop" => (|agent| !agent.state.is_end(), "agent that goes on"),
        _ => (|_| true, "agent"),
    }
}

/// Finds the agent that is meant.
pub(super) async fn find(
    guest: &Guest<'_>,
    id: Option<&Prefix>,
    verb: &'static str,
) -> Result<(AgentId, Agent), AgentError> {
    let (fits, what) = fitting(verb);
    let seen = guest.list().await?;
    let name = guest.name.clone();
    match seen.pick(id, fits) {
        Ok((id, agent)) => Ok((id.clone(), agent.clone())),
        Err(NotOne::Several(ids)) => {
            let verb = match verb {
                "attach" => "agents attach",
                "send" => "agents send",
                "stop" => "agents stop",
                "wait" => "agents wait",
                _ => "agents logs",
            };
            Err(AgentError::Several { name, ids, verb })
        }
        Err(NotOne::Nothing) => match seen.pick(id, |_| true) {
            // It was named, so that it is worth saying why it does not fit.
            Ok((found, agent)) if id.is_some() && agent.state.is_end() => {
                Err(AgentError::Ended { name, id: found.clone() })
            }
            _ => Err(AgentError::Nothing { name, what, id: id.map(ToString::to_string) }),
        },
    }
}

fn attach(ctx: &Context, which: &Which, reach: &ReachArgs) -> Result<u8, Failure> {
    if !ctx.terminal.interactive {
        let name = &which.name;
        let error = UsageError {
            message: "there is no terminal here that could be connected to it".to_owned(),
            hint: format!(
                "`ai-vm agents logs {name}` shows what it said, `ai-vm agents send {name} -- TEXT` answers"
            ),
        };
        return Err(Failure::with_code(error, NOT_RUN));
    }
    let listener = ctx.listener(which.name.as_str());
    let guest = Guest { engine: &ctx.engine, name: &which.name, route: reach.route(), listener: &listener };
    let found = ctx.block_on(find(&guest, which.id.as_ref(), "attach"))?;
    let (id, _) = found.map_err(|error| Failure::with_code(error, NOT_RUN))?;
    drop(listener);
    claude::connect(ctx, &which.name, reach, &id)
}

/// Does something with one agent, and says what came of it.
fn alone(
    ctx: &Context,
    which: &Which,
    verb: &'static str,
    work: impl AsyncFnOnce(&Guest<'_>, &AgentId, &Agent) -> Result<String, AgentError>,
) -> Result<u8, Failure> {
    let listener = ctx.listener(which.name.as_str());
    let guest = Guest { engine: &ctx.engine, name: &which.name, route: PATIENCE, listener: &listener };
    let said = ctx.block_on(async {
        let (id, agent) = find(&guest, which.id.as_ref(), verb).await?;
        work(&guest, &id, &agent).await
    })??;
    ctx.terminal.status(&format!("{}: {said}", which.name));
    Ok(0)
}

/// Waits for one agent of each VM that is named, for all at the same time.
fn wait(ctx: &Context, args: &WaitArgs) -> Result<u8, Failure> {
    let (names, id) = read_words(ctx, &args.words)?;
    let until = match args.until {
        UntilArg::Done => Until::Done,
        UntilArg::Waiting => Until::Waiting,
        UntilArg::Ended => Until::Ended,
    };
    each(ctx, "wait", args.many, names, |vm| {
        let (id, timeout) = (id.clone(), args.timeout);
        async move {
            let guest = Guest { engine: &vm.engine, name: &vm.name, route: PATIENCE, listener: &vm.listener };
            let (id, _) = find(&guest, id.as_ref(), "wait").await?;
            let agent = guest.wait(&id, until, timeout).await?;
            Ok::<_, Box<dyn Diagnostic>>(format!("{id} is {}", agent.state))
        }
    })
}

/// Reads what `wait` is for. Of two words the second one is an ID where no VM is named so.
fn read_words(ctx: &Context, words: &[String]) -> Result<(Vec<VmName>, Option<Prefix>), Failure> {
    if let [name, id] = words
        && let Ok(id) = id.parse::<Prefix>()
        && !id.to_string().parse().is_ok_and(|name| ctx.registry().entry(name).is_some())
    {
        return Ok((vec![name.parse::<VmName>()?], Some(id)));
    }
    let names = words.iter().map(|word| word.parse::<VmName>()).collect::<Result<Vec<_>, _>>()?;
    Ok((each_once(&names), None))
}

//! `ai-vm claude`: a session of Claude Code, or of another agent, that goes on when nobody looks at it.

use std::ffi::OsString;
use std::io;

use crate::agents::agent::{Agent, AgentId, Kind, NotOne, Seen};
use crate::agents::error::AgentError;
use crate::agents::guest::{Begin, Guest};
use crate::cli::commands::exec::{ReachArgs, run_in};
use crate::cli::config_sync;
use crate::cli::context::Context;
use crate::cli::failure::{Failure, UsageError};
use crate::cli::prompt;
use crate::cli::targets::{Group, Targets};
use crate::cli::values::value;
use crate::fleet::outcome::NOT_RUN;
use crate::host::terminal;
use crate::lifecycle::start::{self, How};
use crate::vm::name::VmName;

/// The terminal of a session that nobody has connected to yet: columns and rows.
const SIZE: (u32, u32) = (120, 40);

/// How long the name of an agent is in its guest, in bytes.
const MAX_COMMAND: usize = 200;

/// Begin a session of Claude Code in a VM that goes on by itself, or come back to it
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "ai-vm claude [OPTIONS] NAME [-- PROMPT]",
    after_help = "The session goes on in the VM when the connection is lost, when this machine sleeps, and when Ctrl-] leaves it; \
    called again, `ai-vm claude NAME` comes back to it. What it says stays, 50,000 lines of it.\n\n\
    Examples:\n  \
    ai-vm claude web                                     the one that runs, or a new one\n  \
    ai-vm claude web --detach -- 'fix the tests'         begins one and returns; prints VM and ID\n  \
    ai-vm agents                                         what all of them do\n  \
    ai-vm agents send web -- 'and commit that'\n  \
    ai-vm claude web --new -C app --agent-cmd 'codex \"$AI_VM_PROMPT\"' -- 'fix the tests'\n\n\
    Exit codes: the agent's own when it ends meanwhile, 0 when it is left; 125 it was not begun, 255 the connection was lost."
)]
pub struct Args {
    /// The VM
    #[arg(value_name = "NAME", value_parser = value::<VmName>)]
    name: VmName,
    #[command(flatten)]
    reach: ReachArgs,
    /// Begin it and return; what is printed is the VM and the agent's ID
    #[arg(short, long)]
    detach: bool,
    /// Begin another one where one is at work already
    #[arg(long)]
    new: bool,
    /// Work in this directory of the VM [default: the home directory]
    #[arg(short = 'C', long, value_name = "DIR")]
    cwd: Option<String>,
    /// Another agent: a line for the login shell there, which finds the prompt in $AI_VM_PROMPT
    #[arg(long, value_name = "COMMAND")]
    agent_cmd: Option<String>,
    /// What it is to do; `-` stands for stdin
    #[arg(last = true, value_name = "PROMPT")]
    prompt: Vec<String>,
}

/// Begins a session, or goes on with the one that runs.
pub fn run(ctx: &Context, args: Args) -> Result<u8, Failure> {
    if !args.detach && !ctx.terminal.interactive {
        let name = &args.name;
        let error = UsageError {
            message: "there is no terminal here that could be connected to it".to_owned(),
            hint: format!(
                "`ai-vm claude {name} --detach -- PROMPT` begins one and returns, `ai-vm exec {name} -- start-claude -p PROMPT` \
                 waits for the answer"
            ),
        };
        return Err(Failure::with_code(error, NOT_RUN));
    }
    let prompt = prompt::read(ctx, &args.prompt, prompt::ARGUMENT)?;
    if args.agent_cmd.is_none() {
        let targets = Targets { names: vec![args.name.clone()], group: Group::default() };
        config_sync::before(ctx, &targets, &args.reach, &[OsString::from("start-claude")]);
    }
    let detach = args.detach;
    let ended = ctx.block_on(find_or_begin(ctx, &args, prompt))?;
    let (id, is_new) = ended.map_err(|error| match detach {
        true => error.into(),
        false => Failure::with_code(error, NOT_RUN),
    })?;
    let Args { name, reach, .. } = args;
    if detach {
        let what = if is_new { "begun" } else { "at work already" };
        ctx.terminal.status(&format!("{name}: {what}; `ai-vm agents attach {name} {id}` connects to it"));
        return ctx.print(&format!("{name} {id}\n")).map(|()| 0);
    }
    connect(ctx, &name, &reach, &id)
}

/// Connects the terminal here to a session.
pub(super) fn connect(ctx: &Context, name: &VmName, reach: &ReachArgs, id: &AgentId) -> Result<u8, Failure> {
    let again = format!("ai-vm agents attach {name} {id}");
    let program = Guest::attach(id, &format!("{name}: {id} goes on; come back: `{again}`"));
    let program = program.map_err(|error| Failure::with_code(error, NOT_RUN))?;
    run_in(ctx, name, reach.route(), false, &program, true, Some(again))
}

/// Returns the session that is meant, and whether it is a new one.
async fn find_or_begin(
    ctx: &Context,
    args: &Args,
    prompt: Option<String>,
) -> Result<(AgentId, bool), AgentError> {
    let name = &args.name;
    let listener = ctx.listener(name.as_str());
    if args.reach.start {
        start::launch_vm(&ctx.engine, name, How::default(), &listener).await?;
    }
    let guest = Guest { engine: &ctx.engine, name, route: args.reach.route(), listener: &listener };
    if !args.new
        && let Some(id) = at_work(&guest.list().await?, name, args.agent_cmd.as_deref())?
    {
        return match prompt {
            None => Ok((id, false)),
            Some(_) => Err(AgentError::There { name: name.clone(), id }),
        };
    }
    let size = if ctx.terminal.stdout { terminal::size(io::stdout()) } else { SIZE };
    let begin = Begin {
        cwd: args.cwd.clone().unwrap_or_else(|| ".".to_owned()),
        command: args.agent_cmd.clone(),
        prompt,
        size,
    };
    Ok((guest.begin(&begin).await?, true))
}

/// Returns the session of this agent that is at work, if there is one.
fn at_work(seen: &Seen, name: &VmName, command: Option<&str>) -> Result<Option<AgentId>, AgentError> {
    let command = shown(command.unwrap_or("claude"));
    let fits = |agent: &Agent| {
        agent.kind == Kind::Session && !agent.state.is_end() && agent.command.as_bytes() == command
    };
    match seen.pick(None, fits) {
        Ok((id, _)) => Ok(Some(id.clone())),
        Err(NotOne::Nothing) => Ok(None),
        Err(NotOne::Several(ids)) => {
            Err(AgentError::Several { name: name.clone(), ids, verb: "agents attach" })
        }
    }
}

/// Returns a command as the guest keeps it: on one line, and no longer than that.
fn shown(command: &str) -> Vec<u8> {
    let line = command.bytes().map(|byte| if b"\n\r\t".contains(&byte) { b' ' } else { byte });
    line.take(MAX_COMMAND).collect()
}

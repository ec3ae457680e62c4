//! `ai-vm agents` without a verb: all agents of all VMs side by side, once or again and again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;

use crate::agents::agent::{Agent, AgentId, Kind, Seen, State};
use crate::agents::guest::Guest;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::targets::Targets;
use crate::cli::values::duration;
use crate::diagnostic::Diagnostic;
use crate::fleet::each::{self, End};
use crate::fleet::outcome::exit_code;
use crate::host::process::raise_descriptor_limit;
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::event::unless_quick;
use crate::lifecycle::observe;
use crate::lifecycle::reach::Route;
use crate::ui::{filter, table, time};
use crate::vm::name::VmName;

/// How often is looked again.
const AGAIN: Duration = Duration::from_secs(2);

/// How much of an ID, and of a prompt, is shown, in characters.
const SHOWN_ID: usize = 6;
const SHOWN_PROMPT: usize = 60;

/// Arguments of `agents` without a verb.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    targets: Targets,
    /// Print an array of objects; the shape is described in README.md. With --watch, one a line whenever it changes
    #[arg(long)]
    json: bool,
    /// Look again every two seconds, until Ctrl-C
    #[arg(short, long)]
    watch: bool,
    /// How long each VM may take to answer
    #[arg(long, value_name = "TIME", default_value = "10", value_parser = duration)]
    timeout: Duration,
}

/// What one VM came to.
type Answer = Result<Seen, Box<dyn Diagnostic>>;

/// An agent, or a VM that did not answer, as `--json` shows it. Keys are only ever added.
#[derive(Debug, PartialEq, Serialize)]
struct Row {
    name: VmName,
    id: Option<AgentId>,
    kind: Option<Kind>,
    state: Option<&'static str>,
    waiting_for: Option<String>,
    exit: Option<u8>,
    since: Option<String>,
    begun: Option<String>,
    age_s: Option<u64>,
    cwd: Option<String>,
    command: Option<String>,
    prompt: Option<String>,
    cost_usd: Option<f64>,
    error: Option<RowError>,
}

/// Why a VM did not answer.
#[derive(Debug, PartialEq, Serialize)]
struct RowError {
    code: &'static str,
    message: String,
    hints: Vec<String>,
}

/// Lists agents.
pub fn run(ctx: &Context, args: &ListArgs) -> Result<u8, Failure> {
    raise_descriptor_limit();
    if !args.watch {
        let answers = look(ctx, args)?;
        if args.json {
            ctx.print_json(
                &answers.iter().flat_map(|(name, answer)| rows(name, answer)).collect::<Vec<_>>(),
            )?;
        } else {
            for (name, answer) in &answers {
                if let Err(error) = answer {
                    ctx.terminal.error(error.as_ref(), Some(name.as_str()));
                }
            }
            match as_table(ctx, &answers) {
                None if answers.iter().all(|(_, answer)| answer.is_ok()) => {
                    ctx.terminal.status("no agents; `ai-vm claude NAME` begins one");
                }
                None => {}
                Some(table) => ctx.print(&table)?,
            }
        }
        return Ok(exit_code(
            answers.values().filter_map(|answer| answer.as_ref().err()).map(|error| error.exit_code()),
        ));
    }
    let mut before = None;
    loop {
        let answers = look(ctx, args)?;
        let mut now: Vec<Row> = answers.iter().flat_map(|(name, answer)| rows(name, answer)).collect();
        if ctx.terminal.stdout && !args.json {
            redraw(
                ctx,
                before.is_none(),
                &as_table(ctx, &answers).unwrap_or_else(|| "no agents\n".to_owned()),
            )?;
        }
        // Of those that only grow older nothing is to be said.
        let ages: Vec<Option<u64>> = now.iter_mut().map(|row| row.age_s.take()).collect();
        if before.as_ref() != Some(&now) && (args.json || !ctx.terminal.stdout) {
            if args.json {
                now.iter_mut().zip(&ages).for_each(|(row, age)| row.age_s = *age);
                let line = serde_json::to_string(&now).unwrap_or_default();
                ctx.print(&format!("{}\n", filter::json(&line)))?;
                now.iter_mut().for_each(|row| row.age_s = None);
            } else {
                ctx.print(&format!("{}\n", as_table(ctx, &answers).unwrap_or_default()))?;
            }
        }
        before = Some(now);
        std::thread::sleep(AGAIN);
    }
}

/// Asks VMs, all at the same time: those that are named, or all that run.
fn look(ctx: &Context, args: &ListArgs) -> Result<BTreeMap<VmName, Answer>, Failure> {
    let names: Vec<VmName> = if args.targets.names.is_empty() {
        let entries =
            if args.targets.is_empty() { ctx.registry().list()? } else { args.targets.resolve(ctx)? };
        observe::glance(&ctx.engine, entries).1.into_iter().map(|entry| entry.name).collect()
    } else {
        // Who names one that is stopped wants to be told so.
        args.targets.named(ctx, "agents")?
    };
    let seen: Arc<Mutex<BTreeMap<VmName, Answer>>> = Arc::default();
    let route = Route { limit: args.timeout, shared: true };
    let work = |name: VmName| {
        let (engine, seen) = (ctx.engine.clone(), Arc::clone(&seen));
        async move {
            let listener = Arc::new(|_| {}) as _;
            let guest = Guest { engine: &engine, name: &name, route, listener: &listener };
            let answer = guest.list().await?;
            seen.lock().unwrap_or_else(PoisonError::into_inner).insert(name, Ok(answer));
            Ok::<_, Box<dyn Diagnostic>>(String::new())
        }
    };
    let mut panicked = None;
    let asked = match names.as_slice() {
        [name] => format!("asking {name}"),
        names => format!("asking {} VMs", names.len()),
    };
    let outcomes = each::run(names, usize::MAX, false, work, |outcome| {
        panicked = outcome.err().map(LifecycleError::from).or(panicked.take());
    });
    // Whoever watches sees that it goes on.
    let is_quiet = args.json || args.watch;
    let listener = if is_quiet { ctx.warner("agents") } else { ctx.listener("agents") };
    let outcomes = ctx.block_on(unless_quick(&listener, &asked, outcomes))?;
    drop(listener);
    if let Some(error) = panicked {
        return Err(error.into());
    }
    let mut seen = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
    for outcome in outcomes {
        if let End::Failed(error) = outcome.end {
            seen.insert(outcome.name, Err(error));
        }
    }
    Ok(seen)
}

fn rows(name: &VmName, answer: &Answer) -> Vec<Row> {
    match answer {
        Ok(seen) => seen.agents.iter().map(|agent| row(name, seen.now, agent)).collect(),
        Err(error) => {
            let error = RowError {
                code: error.kind().code(),
                message: crate::fleet::outcome::with_causes(error.as_ref()),
                hints: error.hints(),
            };
            vec![Row { error: Some(error), ..nobody(name) }]
        }
    }
}

fn nobody(name: &VmName) -> Row {
    Row {
        name: name.clone(),
        id: None,
        kind: None,
        state: None,
        waiting_for: None,
        exit: None,
        since: None,
        begun: None,
        age_s: None,
        cwd: None,
        command: None,
        prompt: None,
        cost_usd: None,
        error: None,
    }
}

fn row(name: &VmName, now: u64, agent: &Agent) -> Row {
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let time = |seconds: u64| {
        humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds)).to_string()
    };
    Row {
        id: agent.id.clone(),
        kind: Some(agent.kind),
        state: Some(agent.state.word()),
        waiting_for: match &agent.state {
            State::Waiting(what) => Some(what.clone()),
            _ => None,
        },
        exit: match agent.state {
            State::Exited(code) => Some(code),
            _ => None,
        },
        since: agent.since.map(time),
        begun: agent.begun.map(time),
        age_s: agent.begun.map(|begun| now.saturating_sub(begun)),
        cwd: text(&agent.cwd),
        command: text(&agent.command),
        prompt: text(&agent.prompt),
        cost_usd: agent.cost,
        ..nobody(name)
    }
}

/// Lays the agents out, and the VMs that did not answer; `None` where there are neither.
fn as_table(ctx: &Context, answers: &BTreeMap<VmName, Answer>) -> Option<String> {
    let mut lines = Vec::new();
    for (name, answer) in answers {
        let home = ctx.registry().get(name).ok().map(|record| match record.user.to_string().as_str() {
            "root" => "/root".to_owned(),
            user => format!("/home/{user}"),
        });
        match answer {
            Ok(seen) => {
                lines.extend(seen.agents.iter().map(|agent| line(name, seen.now, agent, home.as_deref())));
            }
            Err(_) => {
                let mut line = vec![name.to_string(), "-".to_owned(), "-".to_owned(), "no answer".to_owned()];
                line.resize(9, String::new());
                lines.push(line);
            }
        }
    }
    let headings = ["VM", "AGENT", "KIND", "STATE", "SINCE", "AGE", "FOLDER", "COST", "PROMPT"];
    (!lines.is_empty()).then(|| table::render(&ctx.terminal, &headings, lines))
}

fn line(name: &VmName, now: u64, agent: &Agent, home: Option<&str>) -> Vec<String> {
    let ago = |then: Option<u64>| then.map_or_else(String::new, |then| time::short(now.saturating_sub(then)));
    let folder = match home.and_then(|home| agent.cwd.strip_prefix(home)) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("~{rest}"),
        _ => agent.cwd.clone(),
    };
    let prompt = match agent.prompt.as_str() {
        "" if agent.command == "claude" => "",
        "" => &agent.command,
        prompt => prompt,
    };
    let mut shown: String = prompt.chars().take(SHOWN_PROMPT).collect();
    if shown.len() < prompt.len() {
        shown.push('…');
    }
    vec![
        name.to_string(),
        agent.id.as_ref().map_or("-", |id| id.as_str().get(..SHOWN_ID).unwrap_or_default()).to_owned(),
        agent.kind.to_string(),
        agent.state.to_string(),
        ago(agent.since),
        ago(agent.begun),
        folder,
        agent.cost.map_or_else(String::new, |cost| format!("${cost:.2}")),
        shown,
    ]
}

/// Draws over what was drawn before, without a flicker.
fn redraw(ctx: &Context, is_first: bool, text: &str) -> Result<(), Failure> {
    let begin = if is_first { "\u{1b}[2J\u{1b}[H" } else { "\u{1b}[H" };
    let lines: String = text.lines().map(|line| format!("{line}\u{1b}[K\n")).collect();
    ctx.print(&format!("{begin}{lines}\u{1b}[J"))
}

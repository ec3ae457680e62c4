//! What `ai-vm run` tells of its runs: a table, an answer, or JSON.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::agents::agent::AgentId;
use crate::agents::run::error::RunError;
use crate::agents::run::event::{Event, Report};
use crate::agents::run::kept;
use crate::cli::commands::run_words::{cost, turns};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::fleet::each::{End, Outcome};
use crate::fleet::outcome::{exit_code, with_causes};
use crate::ui::{filter, table};
use crate::vm::name::VmName;

/// How much is kept of what an agent says that has no result, in bytes.
const KEPT: usize = 1 << 20;

/// How much of an answer the table shows, in characters.
const BRIEF: usize = 80;

/// One run: in which VM, and which of how many there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The VM.
    pub name: VmName,
    /// From 1 on.
    pub number: u32,
    /// How many there are.
    pub of: u32,
    /// The agent.
    pub id: AgentId,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.of {
            1 => f.pad(self.name.as_str()),
            _ => f.pad(&format!("{}/{}", self.name, self.number)),
        }
    }
}

/// Tells whether it is one by itself, whose answer can be had as it is.
pub fn is_alone(keys: &[Key]) -> bool {
    keys.len() == 1
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// It has not begun, as far as is known here.
    #[default]
    NotBegun,
    /// It goes on, also without this command.
    UnderWay,
    /// It ended, in this word.
    Over(&'static str),
}

/// What is known of a run.
#[derive(Debug, Default)]
pub struct Row {
    /// How far it has come.
    pub stage: Stage,
    /// What it said at its end.
    pub report: Option<Report>,
    /// What it said that is no event of Claude Code's.
    lines: String,
}

impl Row {
    /// Takes down what matters at the end.
    pub fn hear(&mut self, event: &Event) {
        match event {
            Event::Result(report) => self.report = Some(report.clone()),
            Event::Line(line) if self.lines.len() + line.len() < KEPT => {
                self.lines.push_str(line);
                self.lines.push('\n');
            }
            _ => {}
        }
    }

    /// Takes down how it ended.
    pub const fn end(&mut self, ended: &Result<(), RunError>, detached: bool) {
        self.stage = match ended {
            Ok(()) if detached => Stage::UnderWay,
            Ok(()) => Stage::Over("done"),
            Err(RunError::Failed { .. }) => Stage::Over("failed"),
            Err(RunError::Stopped { .. }) => Stage::Over("stopped"),
            Err(RunError::NoEnd { .. }) => Stage::Over("gone"),
            Err(RunError::Lost { .. } | RunError::Unread { .. }) => Stage::UnderWay,
            // It goes on, if it had begun.
            Err(RunError::NotKept(_)) => self.stage,
            Err(_) => Stage::Over("not begun"),
        };
    }

    const fn state(&self) -> &'static str {
        match self.stage {
            Stage::NotBegun => "not begun",
            Stage::UnderWay => "running",
            Stage::Over(word) => word,
        }
    }

    fn answer(&self) -> &str {
        self.report.as_ref().map_or(&self.lines, |report| &report.text)
    }
}

/// A run, as `--json` shows it. Keys are only ever added.
#[derive(Debug, Serialize)]
struct Shown {
    name: VmName,
    /// Which one in its VM, from 1 on.
    run: u32,
    id: AgentId,
    /// `done`, `failed`, `stopped`, `gone`, `running` or `not begun`.
    state: &'static str,
    /// `null` while it runs.
    exit: Option<u8>,
    duration_s: f64,
    turns: Option<u64>,
    cost_usd: Option<f64>,
    session_id: Option<String>,
    result: Option<String>,
    /// The copy of its log here.
    log: String,
    error: Option<Problem>,
}

#[derive(Debug, Serialize)]
struct Problem {
    code: &'static str,
    message: String,
    hints: Vec<String>,
}

/// Tells what came of all of them, and returns the exit code.
pub fn report(
    ctx: &Context,
    (json, detached): (bool, bool),
    outcomes: Vec<Outcome<Key>>,
    mut rows: BTreeMap<Key, Row>,
) -> Result<u8, Failure> {
    // A task that panicked has no outcome, and has said so.
    let lost = (outcomes.len() < rows.len()).then_some(1);
    let ended = outcomes.iter().map(|outcome| match &outcome.end {
        End::Failed(error) => error.exit_code(),
        End::Done(_) | End::Cancelled => 0,
    });
    let code = exit_code(ended.chain(lost));
    let all: Vec<(Key, Row, Outcome<Key>)> = outcomes
        .into_iter()
        .filter_map(|outcome| rows.remove_entry(&outcome.name).map(|(key, row)| (key, row, outcome)))
        .collect();
    match all.as_slice() {
        _ if json => {
            ctx.print_json(
                &all.into_iter()
                    .map(|(key, row, outcome)| shown(ctx, key, row, &outcome))
                    .collect::<Vec<_>>(),
            )?;
        }
        _ if detached => {
            let begun = all.iter().filter(|(_, row, _)| row.stage == Stage::UnderWay);
            ctx.print(&begun.map(|(key, ..)| format!("{} {}\n", key.name, key.id)).collect::<String>())?;
        }
        [(key, row, outcome)] => {
            // What has no result has been shown as it came, and a failure has been told.
            if let Some(report) = row.report.as_ref().filter(|report| !report.failed) {
                let text =
                    if ctx.terminal.stdout { filter::lines(&report.text) } else { report.text.clone() };
                ctx.print(&format!("{}\n", text.trim_end_matches('\n')))?;
            }
            let report = row.report.as_ref();
            let about = [Some(seconds(outcome)), report.and_then(turns), report.and_then(cost)];
            let about: Vec<String> = about.into_iter().flatten().collect();
            ctx.terminal.status(&format!("{key}: {}, {}; {}", row.state(), about.join(", "), key.id));
        }
        several => ctx.print(&rendered(ctx, several))?,
    }
    Ok(code)
}

fn seconds(outcome: &Outcome<Key>) -> String {
    format!("{:.1} s", outcome.took.as_secs_f64())
}

fn code_of(outcome: &Outcome<Key>, row: &Row) -> Option<u8> {
    match &outcome.end {
        End::Failed(error) => Some(error.exit_code()),
        _ if row.stage == Stage::UnderWay => None,
        _ => Some(0),
    }
}

fn rendered(ctx: &Context, all: &[(Key, Row, Outcome<Key>)]) -> String {
    let line = |(key, row, outcome): &(Key, Row, Outcome<Key>)| {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let first = row.answer().lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        vec![
            key.to_string(),
            key.id.to_string(),
            row.state().to_owned(),
            or_dash(code_of(outcome, row).map(|code| code.to_string())),
            seconds(outcome),
            or_dash(row.report.as_ref().and_then(|report| report.turns).map(|turns| turns.to_string())),
            or_dash(row.report.as_ref().and_then(cost)),
            first.chars().take(BRIEF).collect(),
        ]
    };
    let headings = ["VM", "AGENT", "STATE", "EXIT", "TIME", "TURNS", "COST", "RESULT"];
    table::render(&ctx.terminal, &headings, all.iter().map(line).collect())
}

fn shown(ctx: &Context, key: Key, row: Row, outcome: &Outcome<Key>) -> Shown {
    let error = match &outcome.end {
        End::Failed(error) => Some(Problem {
            code: error.kind().code(),
            message: with_causes(error.as_ref()),
            hints: error.hints(),
        }),
        End::Done(_) | End::Cancelled => None,
    };
    let log = kept::path(&ctx.registry().dir(&key.name), &key.id).display().to_string();
    let (state, exit) = (row.state(), code_of(outcome, &row));
    let result = Some(row.answer().to_owned()).filter(|answer| !answer.is_empty());
    let report = row.report.unwrap_or_default();
    Shown {
        name: key.name,
        run: key.number,
        id: key.id,
        state,
        exit,
        duration_s: outcome.took.as_secs_f64(),
        turns: report.turns,
        cost_usd: report.cost,
        session_id: report.session,
        result,
        log,
        error,
    }
}

/// Says of each run what happens to it now that nobody follows any more.
pub fn say_what_goes_on(ctx: &Context, rows: &BTreeMap<Key, Row>) {
    for (key, row) in rows {
        let (name, id) = (&key.name, &key.id);
        match row.stage {
            Stage::Over(_) => {}
            Stage::NotBegun => ctx.terminal.status(&format!(
                "{key}: not begun, as far as is known here; `ai-vm agents {name}` shows whether it was"
            )),
            Stage::UnderWay => ctx.terminal.status(&format!(
                "{key}: goes on; follow it again with `ai-vm agents logs -f {name} {id}`, end it with \
                 `ai-vm agents stop {name} {id}`"
            )),
        }
    }
}

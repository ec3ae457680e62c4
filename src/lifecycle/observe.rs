//! Says what VMs are doing, from what is seen at this moment.

use std::time::Duration;

use tokio::task::JoinSet;

use crate::host::layout::VmDir;
use crate::host::lock;
use crate::lifecycle::Engine;
use crate::lifecycle::run::Run;
use crate::lifecycle::{adopt, ready};
use crate::qemu::qmp;
use crate::registry::store::Entry;
use crate::vm::guest::Guest;
use crate::vm::state::{self, Answer, Facts, State};

/// How long a look may take to find out whether a guest has become ready, and how long that guest may stay silent.
const LOOK: Duration = Duration::from_secs(1);
const SILENCE: Duration = Duration::from_millis(250);

/// A VM, what it should be and what it is doing.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The VM as the registry has it.
    pub entry: Entry,
    /// What it is doing.
    pub state: State,
    /// What is wrong with it, on one line.
    pub problem: Option<String>,
    /// The present launch, if it is alive.
    pub run: Option<Run>,
}

/// Looks at VMs without asking anybody: enough for those that are not alive. The others are returned apart, and so are
/// the machines that something else runs.
pub fn glance(engine: &Engine, entries: Vec<Entry>) -> (Vec<Observed>, Vec<Entry>) {
    let (mut still, mut alive) = (Vec::new(), Vec::new());
    for entry in entries {
        if entry.record.as_ref().is_ok_and(|record| record.guest.is_adopted()) {
            alive.push(entry);
            continue;
        }
        match lock::is_held(&engine.registry.dir(&entry.name).file(VmDir::RUN_LOCK)) {
            Ok(true) => alive.push(entry),
            Ok(false) => {
                let facts = facts(engine, &entry, false, Answer::Absent, false);
                still.push(judge(entry, &facts, None));
            }
            Err(error) => {
                let problem = Some(format!("{error}: {}", error.source));
                still.push(Observed { entry, state: State::Broken, problem, run: None });
            }
        }
    }
    (still, alive)
}

/// Looks at VMs that are alive, all at the same time: at most three seconds in all.
pub async fn look(engine: &Engine, alive: Vec<Entry>) -> Vec<Observed> {
    let mut looks = JoinSet::new();
    for entry in alive {
        let engine = engine.clone();
        looks.spawn(async move { look_at(&engine, entry).await });
    }
    looks.join_all().await
}

async fn look_at(engine: &Engine, entry: Entry) -> Observed {
    if let Ok(record) = &entry.record
        && let Guest::Adopted(adopted) = &record.guest
    {
        let (state, problem) = adopt::look(engine, record, adopted).await;
        return Observed { entry, state, problem, run: None };
    }
    let dir = engine.registry.dir(&entry.name);
    let answer = qmp::status(&dir).await;
    let run = Run::read(&dir);
    let mut ready = run.as_ref().is_some_and(|run| run.is_ready(&dir));
    if let (Answer::Running, false, Ok(record)) = (&answer, ready, &entry.record) {
        // Nobody waits for this guest: whether it has become ready is found out here.
        ready = ready::is_ready_now(engine, record, SILENCE, LOOK).await;
    }
    let facts = facts(engine, &entry, true, answer, ready);
    judge(entry, &facts, run)
}

fn facts(engine: &Engine, entry: &Entry, alive: bool, answer: Answer, ready: bool) -> Facts {
    let started_before = entry.record.as_ref().is_ok_and(|record| record.base.is_some() && !record.overlay);
    let disk = engine.registry.dir(&entry.name).file(VmDir::DISK);
    Facts { alive, answer, ready, disk_missing: started_before && !disk.exists() }
}

fn judge(entry: Entry, facts: &Facts, run: Option<Run>) -> Observed {
    let (state, problem) = match &entry.record {
        Ok(_) => state::derive(facts),
        Err(broken) => (State::Broken, Some(broken.to_string())),
    };
    Observed { entry, state, problem, run }
}

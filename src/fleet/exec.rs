//! One command in many VMs. They are started together; none waits for another.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::fleet::gate::Gate;
use crate::fleet::outcome::{End, Outcome};
use crate::lifecycle::Engine;
use crate::lifecycle::event::{Listener, unless_quick};
use crate::lifecycle::reach::{self, Route};
use crate::lifecycle::start::{self, How};
use crate::ssh::program::{Control, Program, Sink, Streams};
use crate::ssh::running::Running;
use crate::ssh::session::SessionError;
use crate::ssh::stdio;
use crate::vm::name::VmName;

/// How long a command may go on after it has been told to end.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What is to be done in every VM.
#[derive(Clone, Debug)]
pub struct Task {
    /// The command.
    pub program: Program,
    /// How each VM is reached.
    pub route: Route,
    /// Whether VMs that are stopped are started.
    pub start: bool,
    /// In how many VMs it may run at the same time.
    pub at_once: usize,
    /// How long it may take in each.
    pub limit: Option<Duration>,
    /// Whether the first failure ends the others.
    pub fail_fast: bool,
    /// What each gets as its input.
    pub stdin: Bytes,
}

/// Where one VM's part goes: what takes its stdout and stderr, and who is told what happens to it.
pub struct Ends<O, E> {
    /// Takes stdout.
    pub stdout: O,
    /// Takes stderr.
    pub stderr: E,
    /// Is told what happens.
    pub listener: Listener,
}

/// Runs a command in many VMs. `ends` is asked once for each VM, `done` is told each outcome as it comes, and what
/// comes by `control` is for all of them.
pub async fn run<O: Sink, E: Sink>(
    engine: &Engine,
    names: Vec<VmName>,
    task: Task,
    mut ends: impl FnMut(&VmName) -> Ends<O, E>,
    mut done: impl FnMut(&Outcome),
    mut control: mpsc::Receiver<Control>,
) -> Vec<Outcome> {
    let all = All { gate: Gate::new(task.at_once), running: Arc::default() };
    let task = Arc::new(task);
    let mut jobs = JoinSet::new();
    for name in names {
        let (engine, task, all, ends) = (engine.clone(), Arc::clone(&task), all.clone(), ends(&name));
        jobs.spawn(async move {
            let begun = Instant::now();
            let end = one(&engine, &name, &task, &all, ends).await;
            Outcome { name, end, took: begun.elapsed() }
        });
    }
    let mut outcomes = Vec::new();
    loop {
        tokio::select! {
            joined = jobs.join_next() => match joined {
                // A task that panicked has said so; there is no outcome of it.
                Some(Err(_)) => {}
                Some(Ok(outcome)) => {
                    if task.fail_fast && outcome.end.code() != 0 {
                        all.end();
                    }
                    done(&outcome);
                    outcomes.push(outcome);
                }
                None => break,
            },
            Some(asked) = control.recv() => {
                // What has not begun is not to begin any more.
                all.gate.close();
                all.tell(&asked);
            }
        }
    }
    outcomes.sort_by(|a, b| a.name.cmp(&b.name));
    outcomes
}

/// What the commands have in common.
#[derive(Clone)]
struct All {
    gate: Gate,
    running: Arc<Mutex<Vec<mpsc::Sender<Control>>>>,
}

impl All {
    /// Asks something of every command that runs.
    fn tell(&self, asked: &Control) {
        for command in self.running.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            // One that is ending needs to be told nothing, and one that does not listen cannot be.
            let _ = command.try_send(asked.clone());
        }
    }

    /// Ends every command, and begins no others.
    fn end(&self) {
        self.gate.close();
        self.tell(&Control::Signal("TERM".to_owned()));
        let all = self.clone();
        tokio::spawn(async move {
            sleep(LAST_WORDS).await;
            all.tell(&Control::GiveUp(End::Cancelled.code()));
        });
    }

    fn register(&self) -> (mpsc::Sender<Control>, mpsc::Receiver<Control>) {
        let (sender, receiver) = mpsc::channel(8);
        self.running.lock().unwrap_or_else(PoisonError::into_inner).push(sender.clone());
        (sender, receiver)
    }
}

async fn one<O: Sink, E: Sink>(
    engine: &Engine,
    name: &VmName,
    task: &Task,
    all: &All,
    ends: Ends<O, E>,
) -> End {
    let Some(_permit) = all.gate.enter().await else { return End::Cancelled };
    let Ends { stdout, stderr, listener } = ends;
    let begin = async {
        if task.start {
            start::launch_vm(engine, name, How::default(), &listener).await?;
        }
        reach::start(engine, name, task.route, &task.program, None, &listener).await
    };
    let running = tokio::select! {
        running = begin => match running {
            Ok(running) => running,
            Err(error) => return End::NotRun(error),
        },
        () = all.gate.closed() => return End::Cancelled,
    };
    let (command, control) = all.register();
    // Who registers after the others were told to end has not been told.
    if all.gate.is_closed() {
        return End::Cancelled;
    }
    let streams = Streams { stdin: stdio::whole(task.stdin.clone()), stdout, stderr };
    let pump = async {
        match task.limit {
            None => Some(running.pump(streams, control).await),
            Some(limit) => within(limit, running, streams, command, control).await,
        }
    };
    let ended = match (unless_quick(&listener, "running", pump).await, task.limit) {
        (Some(ended), _) => ended,
        (None, limit) => return End::TookTooLong(limit.unwrap_or_default()),
    };
    match ended {
        Ok(code) if all.gate.is_closed() && code == End::Cancelled.code() => End::Cancelled,
        Ok(code) => End::Exited(code),
        Err(error) => End::Broken(error),
    }
}

/// Carries a command's streams; `None` when it took longer than it may. Then it is told to end first, and let go if it
/// does not.
async fn within<O: Sink, E: Sink>(
    limit: Duration,
    running: Running,
    streams: Streams<O, E>,
    command: mpsc::Sender<Control>,
    control: mpsc::Receiver<Control>,
) -> Option<Result<u8, SessionError>> {
    let mut pump = std::pin::pin!(running.pump(streams, control));
    let end = async {
        sleep(limit).await;
        for asked in [Control::Signal("TERM".to_owned()), Control::GiveUp(0)] {
            // A command that has just ended does not listen any more.
            let _ = command.send(asked).await;
            sleep(LAST_WORDS).await;
        }
    };
    let mut end = std::pin::pin!(end);
    let begun = Instant::now();
    tokio::select! {
        ended = &mut pump => (begun.elapsed() < limit).then_some(ended),
        () = &mut end => None,
    }
}

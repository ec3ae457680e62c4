//! Agents without a terminal: begun in a guest apart from the connection, followed from wherever what is known of their
//! log ends.

pub mod error;
pub mod event;
pub mod kept;

use std::ffi::OsString;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::agents::agent::AgentId;
use crate::agents::run::error::RunError;
use crate::agents::run::kept::Kept;
use crate::lifecycle::Engine;
use crate::lifecycle::apart::{Apart, Came, EVALUATE, End, News, PRELUDE, PROCESS, What};
use crate::lifecycle::event::Listener;
use crate::lifecycle::reach::Route;
use crate::ssh::command::RemoteCommand;
use crate::vm::name::VmName;

/// What runs in the guest, after what all such scripts have.
const SCRIPT: &str = include_str!("remote.sh");

/// The same of the scripts about agents.
const DIRECTORY: &str = include_str!("../directory.sh");

/// How many parts of a log may wait on their way.
const QUEUE: usize = 16;

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Task {
    /// The folder to work in, seen from the home directory.
    pub cwd: OsString,
    /// A line for the login shell, which has the prompt as its stdin; Claude Code where there is none.
    pub line: Option<String>,
    /// What the agent is asked.
    pub prompt: Bytes,
    /// How long it may take.
    pub limit: Option<Duration>,
}

/// An agent without a terminal in one VM.
pub struct Run<'a> {
    /// What works on VMs.
    pub engine: &'a Engine,
    /// The VM.
    pub name: &'a VmName,
    /// Which agent.
    pub id: &'a AgentId,
    /// How the VM is reached at first.
    pub route: Route,
    /// Whether it is started if it is stopped.
    pub start: bool,
    /// Takes the log from its beginning, as the guest wrote it.
    pub log: mpsc::Sender<Bytes>,
    /// Is told what becomes known.
    pub tell: &'a (dyn Fn(News) + Send + Sync),
}

impl Run<'_> {
    /// Begins it, as one of several, and follows it to a good end.
    pub async fn follow(self, task: &Task, number: u32, listener: Listener) -> Result<(), RunError> {
        self.go(What::Follow, Some((task, number)), listener).await
    }

    /// Begins it, and leaves it going on.
    pub async fn begin(self, task: &Task, number: u32, listener: Listener) -> Result<(), RunError> {
        self.go(What::Begin, Some((task, number)), listener).await
    }

    /// Follows one that has been begun, to a good end.
    pub async fn attach(self, listener: Listener) -> Result<(), RunError> {
        self.go(What::Attach, None, listener).await
    }

    async fn go(self, what: What, task: Option<(&Task, u32)>, listener: Listener) -> Result<(), RunError> {
        let Run { engine, name, id, route, start, log: out, tell } = self;
        // A name that nobody has is told as that.
        engine.registry.get(name).map_err(|error| RunError::NotReached(error.into()))?;
        let follows = what != What::Begin;
        let mut kept = follows.then(|| Kept::open(&engine.registry.dir(name), id)).transpose()?.flatten();
        let mut known = 0;
        if let Some(kept) = &mut kept {
            known = kept.length();
            let mut from = 0;
            while from < known {
                let chunk = kept.read(from)?;
                from += chunk.len() as u64;
                if chunk.is_empty() || out.send(chunk.into()).await.is_err() {
                    break;
                }
            }
        }
        let (log, chunks) = mpsc::channel(QUEUE);
        let script = |asked: [String; 3]| command(asked, task);
        let input = task.map(|(task, _)| task.prompt.clone()).unwrap_or_default();
        let run = id.to_string();
        let apart = Apart { engine, name, route, start, script: &script, input, run, known, log, tell };
        let (came, passed) = tokio::join!(apart.run(what, listener), pass_on(chunks, kept, out));
        // Why it could not be followed, where that is why it was not.
        passed?;
        match came.map_err(|error| RunError::apart(name, id, error))? {
            Came { code: 0, end: Some(End::Exited(0)), .. } => Ok(()),
            Came { code: 0, end: None, .. } if !follows => Ok(()),
            came => Err(meaning(name, id, &came)),
        }
    }
}

/// Keeps what comes and passes it on, until nobody takes it any more.
async fn pass_on(
    mut chunks: mpsc::Receiver<Bytes>,
    mut kept: Option<Kept>,
    out: mpsc::Sender<Bytes>,
) -> Result<(), RunError> {
    loop {
        let chunk = tokio::select! {
            chunk = chunks.recv() => match chunk {
                Some(chunk) => chunk,
                None => return Ok(()),
            },
            () = out.closed() => return Ok(()),
        };
        if let Some(open) = &mut kept
            && !open.add(&chunk)?
        {
            kept = None;
        }
        if out.send(chunk).await.is_err() {
            return Ok(());
        }
    }
}

fn command(asked: [String; 3], task: Option<(&Task, u32)>) -> RemoteCommand {
    let script = [PROCESS, DIRECTORY, PRELUDE, SCRIPT].concat();
    let mut argv: Vec<OsString> = ["sh", "-c", EVALUATE, "ai-vm-run", &script].map(OsString::from).to_vec();
    argv.extend(asked.map(OsString::from));
    if let Some((task, number)) = task {
        let seconds = task.limit.map_or(0, |limit| limit.as_secs().max(1));
        argv.push(task.cwd.clone());
        argv.push(task.line.clone().unwrap_or_default().into());
        argv.extend(
            [number.to_string(), seconds.to_string(), task.prompt.len().to_string()].map(OsString::from),
        );
    }
    RemoteCommand { argv, ..RemoteCommand::default() }
}

/// Says what came of it, where that is no good end. The script has exit codes of its own.
fn meaning(name: &VmName, id: &AgentId, came: &Came) -> RunError {
    let (name, id) = (name.clone(), id.clone());
    let said = came.said.replace("stderr: ", "").trim_end().to_owned();
    let what = match (came.code, came.end) {
        (0, Some(End::Exited(code))) => return RunError::Failed { name, id, code, said },
        (87, _) => return RunError::Stopped { name, id },
        (0 | 86, _) => return RunError::NoEnd { name, id },
        (81, _) => "there is no command `start-claude`",
        (82, _) => "there is no such folder",
        (83, _) => "it cannot write down what it does",
        (84, _) => "it did not begin",
        (85, _) => return RunError::Nothing { name, id },
        _ => "the script there failed",
    };
    RunError::Unable { name, what, said }
}

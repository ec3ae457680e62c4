//! A guest as where agents are: one script for all that is done there, each time with a deadline, its answers bounded.

use std::ffi::OsString;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::agents::agent::{Agent, AgentId, Seen};
use crate::agents::answer::{self, MAX_BYTES};
use crate::agents::error::AgentError;
use crate::host::random;
use crate::lifecycle::Engine;
use crate::lifecycle::apart::{EVALUATE, PROCESS};
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::event::Listener;
use crate::lifecycle::reach::{self, Route};
use crate::ssh::command::RemoteCommand;
use crate::ssh::program::{Program, Streams};
use crate::ssh::session::SessionError;
use crate::transfer::bridge::Kept;
use crate::vm::name::VmName;

/// What runs in the guest.
const SCRIPT: &str = concat!(include_str!("directory.sh"), include_str!("remote.sh"));

/// The most of what an agent has said that is taken at once, in bytes.
const MAX_LOG: usize = 16 << 20;

/// How much of what a guest says on stderr is kept, in bytes.
const MAX_SAID: usize = 2048;

/// How long a guest is asked to wait at once, in seconds. It is asked again then.
const WAIT: u64 = 20;

/// How much longer than it was asked for a guest may take.
const GRACE: Duration = Duration::from_secs(15);

/// A guest.
pub struct Guest<'a> {
    /// What works on VMs.
    pub engine: &'a Engine,
    /// The VM.
    pub name: &'a VmName,
    /// How it is reached; the limit is also that of each request.
    pub route: Route,
    /// Is told what happens.
    pub listener: &'a Listener,
}

/// A session that is to be begun.
#[derive(Clone, Debug)]
pub struct Begin {
    /// The directory to work in, seen from the home directory.
    pub cwd: String,
    /// A line for the login shell, instead of Claude Code.
    pub command: Option<String>,
    /// What it is to be asked at once.
    pub prompt: Option<String>,
    /// Columns and rows of its terminal, until somebody with another one connects.
    pub size: (u32, u32),
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// It has done what it was to do.
    Done,
    /// It waits for somebody.
    Waiting,
    /// It has ended, however.
    Ended,
}

impl Until {
    const fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Waiting => "waiting",
            Self::Ended => "ended",
        }
    }

    /// Tells whether this agent is as it should be.
    const fn holds(self, agent: &Agent) -> bool {
        match self {
            Self::Done => agent.state.is_done(),
            Self::Waiting => matches!(agent.state, crate::agents::agent::State::Waiting(_)),
            Self::Ended => agent.state.is_end(),
        }
    }
}

impl Guest<'_> {
    /// Says what agents there are.
    pub async fn list(&self) -> Result<Seen, AgentError> {
        self.seen(&["list"], self.route.limit).await
    }

    /// Begins a session and returns its ID.
    pub async fn begin(&self, what: &Begin) -> Result<AgentId, AgentError> {
        let random = random::hex128().map_err(LifecycleError::from)?;
        let Some(id) = AgentId::of_random(&random) else { return Err(self.not_understood("it has no ID")) };
        let (columns, rows) = (what.size.0.to_string(), what.size.1.to_string());
        let command = what.command.as_deref().unwrap_or_default();
        let input = what.prompt.clone().unwrap_or_default();
        let bytes = input.len().to_string();
        let args = ["begin", id.as_str(), &bytes, &what.cwd, &columns, &rows, command];
        self.ask(&args, input.into(), 0, self.route.limit).await?;
        Ok(id)
    }

    /// Returns the program that connects a terminal to a session. It says `farewell` when the session goes on.
    pub fn attach(id: &AgentId, farewell: &str) -> Result<Program, AgentError> {
        Ok(program(&["attach", id.as_str(), farewell])?)
    }

    /// Returns what the terminal of a session shows and has shown, not filtered.
    pub async fn screen(&self, id: &AgentId) -> Result<String, AgentError> {
        let screen = self.ask(&["screen", id.as_str()], Bytes::new(), MAX_LOG, self.route.limit).await?;
        Ok(screen.trim_end().to_owned())
    }

    /// Returns what a run has written, its last 16 MiB, not filtered.
    pub async fn log(&self, id: &AgentId) -> Result<String, AgentError> {
        self.ask(&["log", id.as_str()], Bytes::new(), MAX_LOG, self.route.limit).await
    }

    /// Types a text into a session, and Enter.
    pub async fn send(&self, id: &AgentId, text: String) -> Result<(), AgentError> {
        let bytes = text.len().to_string();
        self.ask(&["send", id.as_str(), &bytes], text.into(), 0, self.route.limit).await.map(drop)
    }

    /// Ends an agent and returns the signal that did it.
    pub async fn stop(&self, id: &AgentId) -> Result<&'static str, AgentError> {
        let limit = self.route.limit + Duration::from_secs(20);
        match self.ask(&["stop", id.as_str()], Bytes::new(), 16, limit).await?.as_str() {
            "TERM" => Ok("TERM"),
            "KILL" => Ok("KILL"),
            _ => Err(self.not_understood("it does not say by what signal it was stopped")),
        }
    }

    /// Waits until something holds of an agent. A connection that is lost meanwhile is made anew.
    pub async fn wait(&self, id: &AgentId, until: Until, limit: Duration) -> Result<Agent, AgentError> {
        let begun = tokio::time::Instant::now();
        loop {
            let left = limit.saturating_sub(begun.elapsed());
            let seconds = WAIT.min(left.as_secs());
            let args = ["wait", id.as_str(), until.word(), &seconds.to_string()];
            let answer = self.seen(&args, Duration::from_secs(seconds) + GRACE).await;
            let is_last = begun.elapsed() + Duration::from_secs(1) >= limit;
            match answer.map(|seen| seen.agents.into_iter().next()) {
                Ok(Some(agent)) if until.holds(&agent) => return Ok(agent),
                Ok(Some(agent)) if agent.state.is_end() => {
                    let (name, id) = (self.name.clone(), id.clone());
                    return Err(AgentError::EndedBefore { name, id, state: agent.state });
                }
                Ok(Some(agent)) if is_last => {
                    let (name, id) = (self.name.clone(), id.clone());
                    return Err(AgentError::NotInTime { name, id, state: agent.state, limit });
                }
                Ok(Some(_)) => {}
                Ok(None) => return Err(self.not_understood("it says nothing of this agent")),
                Err(error) if is_last || !may_pass(&error) => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
            }
        }
    }

    async fn seen(&self, args: &[&str], limit: Duration) -> Result<Seen, AgentError> {
        let answer = self.ask(args, Bytes::new(), MAX_BYTES, limit).await?;
        answer::read(answer.as_bytes()).map_err(|what| self.not_understood(what))
    }

    /// Runs the script and returns what it wrote, of which `most` bytes are taken.
    async fn ask(
        &self,
        args: &[&str],
        input: Bytes,
        most: usize,
        limit: Duration,
    ) -> Result<String, AgentError> {
        let program = program(args)?;
        let (out, said) = (Kept::up_to(most + 1), Kept::up_to(MAX_SAID));
        let work = async {
            let running =
                reach::start(self.engine, self.name, self.route, &program, None, self.listener).await?;
            let (feed, stdin) = mpsc::channel(1);
            if !input.is_empty() {
                // There is room for one.
                let _ = feed.try_send(input);
            }
            drop(feed);
            let (_no_control, control) = mpsc::channel(1);
            let streams = Streams { stdin, stdout: out.clone(), stderr: said.clone() };
            running.pump(streams, control).await.map_err(LifecycleError::from)
        };
        let name = || self.name.clone();
        let code = timeout(limit, work).await.map_err(|_| AgentError::NoAnswer { name: name(), limit })??;
        if code != 0 {
            return Err(self.meaning(code, args, said.text().trim_end().to_owned()));
        }
        let out = out.text();
        if out.len() > most { Err(self.not_understood("it does not come to an end")) } else { Ok(out) }
    }

    /// Says what the exit code of the script means.
    fn meaning(&self, code: u8, args: &[&str], said: String) -> AgentError {
        let name = self.name.clone();
        let id = args.get(1).and_then(|id| AgentId::read(id));
        let older = || Some(format!("a VM that is outdated can lack it: `ai-vm info {name}`"));
        let (what, hint) = match (code, id) {
            (80, _) => ("there is no tmux", None),
            (81, _) => ("there is no start-claude", older()),
            (82, _) => ("there is no such directory", None),
            (83, _) => ("it cannot write down what it does", None),
            (84, _) => ("tmux did not do it", None),
            (85, id) => {
                return AgentError::Nothing { name, what: "agent", id: id.map(|id| id.to_string()) };
            }
            (86, Some(id)) => return AgentError::Ended { name, id },
            (87, _) => (
                "this agent has no terminal of its own",
                Some(format!("`ai-vm claude {name}` begins one that has")),
            ),
            (88, _) => ("it cannot be ended", None),
            (89, _) => (
                "what it says is not written down",
                Some(format!("see what there is: `ai-vm agents {name}`")),
            ),
            _ => ("the script there failed", None),
        };
        AgentError::Unable { name, what, said, hint }
    }

    fn not_understood(&self, what: &'static str) -> AgentError {
        AgentError::NotUnderstood { name: self.name.clone(), what }
    }
}

fn program(args: &[&str]) -> Result<Program, LifecycleError> {
    let script = format!("{PROCESS}{SCRIPT}");
    let argv =
        ["sh", "-c", EVALUATE, "ai-vm-agents", &script].iter().chain(args).map(OsString::from).collect();
    let command = RemoteCommand { argv, ..RemoteCommand::default() };
    Ok(Program::Command(command.encode().map_err(SessionError::from)?))
}

/// Tells whether what went wrong may be over when it is tried again.
fn may_pass(error: &AgentError) -> bool {
    match error {
        AgentError::NoAnswer { .. } => true,
        AgentError::NotReached(error) => !matches!(
            **error,
            LifecycleError::Stopped { .. } | LifecycleError::Died { .. } | LifecycleError::Registry(_)
        ),
        _ => false,
    }
}

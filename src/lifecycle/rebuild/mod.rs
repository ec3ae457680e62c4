//! Lets a guest rebuild itself: apart from the connection, so that a lost one loses nothing, and one is had again to
//! follow what goes on. All that is believed of what the guest says is the name of a run and an exit code.

pub mod error;
mod words;

use std::ffi::OsString;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::host::random;
use crate::lifecycle::Engine;
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::event::Listener;
use crate::lifecycle::reach::{self, Route};
use crate::lifecycle::rebuild::error::{NO_COMMAND, RebuildError};
use crate::lifecycle::rebuild::words::{Word, Words};
use crate::lifecycle::start::{self, How};
use crate::ssh::command::RemoteCommand;
use crate::ssh::program::{Program, Sink, Streams};
use crate::ssh::running::Running;
use crate::ssh::session::SessionError;
use crate::vm::name::VmName;

/// What runs in the guest, as root.
const SCRIPT: &str = include_str!("remote.sh");

/// Becomes root where that is needed, with the script in place of a program's name.
const AS_ROOT: &str = "[ \"$(id -u)\" = 0 ] || exec sudo -n -- sh -c \"$0\" ai-vm-rebuild \"$@\"\n\
                       exec sh -c \"$0\" ai-vm-rebuild \"$@\"";

/// How long a lost connection is tried to be had again: a guest that boots is back by then.
const AGAIN: Duration = Duration::from_secs(180);

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// How long the script may take to say what it follows. It waits for others that begin for two minutes at most.
const ANSWER: Duration = Duration::from_secs(180);

/// How much of what else was said is kept, in bytes.
const MAX_SAID: usize = 4096;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Rebuild and wait for the end, or join who does.
    Follow,
    /// See to it that a rebuild is under way.
    Begin,
    /// Show what the last one said.
    Log,
}

/// What becomes known before the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// It is under way from now on.
    Begun,
    /// Another one was under way already, and is followed instead.
    Joined,
    /// The connection is lost and tried to be had again.
    Lost,
    /// The connection is there again.
    Back,
}

/// How it ended, as far as it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With this exit code.
    Exited(u8),
    /// It is still under way.
    UnderWay,
}

/// A rebuild of one VM.
pub struct Rebuild<'a> {
    /// What works on VMs.
    pub engine: &'a Engine,
    /// The VM.
    pub name: &'a VmName,
    /// How it is reached at first.
    pub route: Route,
    /// Whether it is started if it is stopped.
    pub start: bool,
    /// Takes the log, as the guest wrote it.
    pub log: mpsc::Sender<Bytes>,
    /// Is told what becomes known.
    pub tell: &'a (dyn Fn(News) + Send + Sync),
}

/// What is known of it so far.
struct Known {
    /// The name of the run that is followed.
    run: String,
    /// Whether it is one that somebody else began, so that it is not to be begun from here.
    joined: bool,
    /// How many bytes of its log have been passed on.
    read: Arc<AtomicU64>,
    /// How it ended, as the script says.
    end: Option<End>,
    /// Until when a connection that was lost is tried to be had again.
    lost: Option<Instant>,
    /// What the guest said that the script did not.
    said: String,
}

impl Rebuild<'_> {
    /// Does it. A rebuild that fails is no error here.
    pub async fn run(self, what: What, listener: Listener) -> Result<End, RebuildError> {
        let run = random::hex128().map_err(LifecycleError::from)?;
        let said = String::new();
        let mut known = Known { run, joined: false, read: Arc::default(), end: None, lost: None, said };
        if self.start {
            start::launch_vm(self.engine, self.name, How::default(), &listener).await?;
        }
        let mut running = self.reach(what, &known, self.route, &listener).await?;
        // The line that showed the way goes away.
        drop(listener);
        loop {
            let ended = self.carry(what, running, &mut known).await;
            match (ended, known.end.take()) {
                (Ok(0), Some(end)) => return Ok(end),
                (Ok(0), None) if what == What::Begin => return Ok(End::UnderWay),
                // Killed with all that belongs to the connection, as a guest does that goes down.
                (Ok(128..), _) if !self.log.is_closed() => {}
                (Ok(code), _) => return Err(self.meaning(code, &known.said)),
                (Err(SessionError::Lost(_) | SessionError::Refused(_) | SessionError::NotBegun), _) => {}
                (Err(error), _) => return Err(LifecycleError::from(error).into()),
            }
            if known.lost.is_none() {
                (self.tell)(News::Lost);
            }
            let until = *known.lost.get_or_insert_with(|| Instant::now() + AGAIN);
            running = self.reach_again(what, &known, until).await?;
        }
    }

    fn program(&self, what: What, known: &Known) -> Result<Program, LifecycleError> {
        let what = match what {
            What::Follow if known.joined => "attach",
            What::Follow => "follow",
            What::Begin => "begin",
            What::Log => "log",
        };
        let read = known.read.load(Ordering::Relaxed).to_string();
        let argv = ["sh", "-c", AS_ROOT, SCRIPT, what, &known.run, &read].map(OsString::from).to_vec();
        let command = RemoteCommand { argv, ..RemoteCommand::default() };
        Ok(Program::Command(command.encode().map_err(SessionError::from)?))
    }

    async fn reach(
        &self,
        what: What,
        known: &Known,
        route: Route,
        listener: &Listener,
    ) -> Result<Running, LifecycleError> {
        let program = self.program(what, known)?;
        reach::start(self.engine, self.name, route, &program, None, listener).await
    }

    /// Tries to have a connection again, by none that was there before, until the deadline.
    async fn reach_again(
        &self,
        what: What,
        known: &Known,
        deadline: Instant,
    ) -> Result<Running, RebuildError> {
        let quiet: Listener = Arc::new(|_| {});
        loop {
            sleep(PAUSE).await;
            let route = Route { limit: deadline.saturating_duration_since(Instant::now()), shared: false };
            match self.reach(what, known, route, &quiet).await {
                Ok(running) => return Ok(running),
                Err(error) => {
                    let gone = matches!(error, LifecycleError::Stopped { .. } | LifecycleError::Died { .. });
                    if gone || Instant::now() + PAUSE >= deadline {
                        return Err(RebuildError::Lost { name: self.name.clone(), last: Box::new(error) });
                    }
                }
            }
        }
    }

    /// Carries the log until the script ends, and takes down what it says.
    async fn carry(&self, what: What, running: Running, known: &mut Known) -> Result<u8, SessionError> {
        let (say, mut words) = mpsc::unbounded_channel();
        let (_, stdin) = mpsc::channel(1);
        let (_no_control, control) = mpsc::channel(1);
        let stdout = Log { to: self.log.clone(), read: Arc::clone(&known.read) };
        let stderr = Words::to(say);
        let mut pump = std::pin::pin!(running.pump(Streams { stdin, stdout, stderr }, control));
        let mut answer = std::pin::pin!(sleep(ANSWER));
        // To show what there is it says nothing before.
        let mut answered = what == What::Log;
        let ended = loop {
            tokio::select! {
                biased;
                Some(word) = words.recv() => {
                    answered |= matches!(word, Word::Run(_));
                    self.hear(word, known);
                }
                ended = &mut pump => break ended,
                () = &mut answer, if !answered => break Err(SessionError::NotBegun),
            }
        };
        while let Ok(word) = words.try_recv() {
            self.hear(word, known);
        }
        ended
    }

    fn hear(&self, word: Word, known: &mut Known) {
        match word {
            Word::Run(_) if known.lost.take().is_some() => (self.tell)(News::Back),
            Word::Run(_) if known.joined => {}
            Word::Run(_) => (self.tell)(News::Begun),
            Word::Joined(run) => {
                (known.run, known.joined) = (run, true);
                (self.tell)(News::Joined);
            }
            Word::End(end) => known.end = Some(end),
            Word::Other(text) if known.said.len() + text.len() < MAX_SAID => {
                known.said.push_str(&text);
                known.said.push(' ');
            }
            Word::Other(_) => {}
        }
    }

    /// Says what the script's own exit codes mean.
    fn meaning(&self, code: u8, said: &str) -> RebuildError {
        let name = self.name.clone();
        let what = match code {
            _ if self.log.is_closed() => return RebuildError::Unread { name },
            80 => "there is no systemd",
            81 => NO_COMMAND,
            82 => "it cannot write down what it does",
            83 => "systemd did not begin it",
            84 => return RebuildError::NoLog { name },
            0 | 85 => return RebuildError::NoEnd { name },
            _ => "who logs in cannot become root",
        };
        RebuildError::Unable { name, what, said: said.trim_end().to_owned() }
    }
}

/// Passes the log on, and counts what has been.
struct Log {
    to: mpsc::Sender<Bytes>,
    read: Arc<AtomicU64>,
}

impl Sink for Log {
    async fn write(&mut self, chunk: Bytes) -> bool {
        let length = chunk.len() as u64;
        let taken = self.to.send(chunk).await.is_ok();
        if taken {
            self.read.fetch_add(length, Ordering::Relaxed);
        }
        taken
    }

    async fn finish(self) -> io::Result<()> {
        Ok(())
    }
}

//! Follows what runs in a guest apart from the connection, so that a lost one loses nothing: another one is had, and the
//! log goes on where it stopped. All that is believed of what the guest says is the name of a run and an exit code.

mod words;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::lifecycle::Engine;
use crate::lifecycle::apart::words::{Word, Words};
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::event::Listener;
use crate::lifecycle::reach::{self, Route};
use crate::lifecycle::start::{self, How};
use crate::ssh::command::{RemoteCommand, TooLong};
use crate::ssh::program::{Program, Sink, Streams};
use crate::ssh::running::Running;
use crate::ssh::session::SessionError;
use crate::ssh::stdio;
use crate::vm::name::VmName;

/// How a script is run whose text is the second argument after this one: it has its own text, and errors of the shell do not.
pub const EVALUATE: &str = "script=$1; shift; eval \"$script\"";

/// What stands before scripts in guests that write down what they know of something that runs.
pub const PROCESS: &str = include_str!("process.sh");

/// What follows [`PROCESS`] in every script that begins such a run or follows it: in it are the words that are heard here.
pub const PRELUDE: &str = include_str!("apart.sh");

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
    /// Begin it, unless it is there, and wait for the end.
    Follow,
    /// See to it that it is under way.
    Begin,
    /// Wait for the end of one that is there.
    Attach,
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

/// What came of following.
#[derive(Debug)]
pub struct Came {
    /// How the run ended; `None` where the script did not come to that.
    pub end: Option<End>,
    /// The script's own exit code.
    pub code: u8,
    /// What the guest said that the script's words are not, not filtered.
    pub said: String,
}

/// Why it is not known how something ended.
#[derive(Debug, thiserror::Error)]
pub enum ApartError {
    /// The guest was not reached.
    #[error(transparent)]
    NotReached(#[from] LifecycleError),
    /// The connection was lost and could not be had again.
    #[error("the connection was lost")]
    Lost(#[source] Box<LifecycleError>),
    /// Nobody takes the log any more.
    #[error("nobody reads the log")]
    Unread,
}

/// Something that runs in one VM.
pub struct Apart<'a> {
    /// What works on VMs.
    pub engine: &'a Engine,
    /// The VM.
    pub name: &'a VmName,
    /// How it is reached at first.
    pub route: Route,
    /// Whether it is started if it is stopped.
    pub start: bool,
    /// Makes the command that runs the script, whose first arguments these are.
    pub script: &'a (dyn Fn([String; 3]) -> RemoteCommand + Send + Sync),
    /// What the script may read to begin a run.
    pub input: Bytes,
    /// The name of the run, 12 to 32 hexadecimal digits.
    pub run: String,
    /// How many bytes of its log are known already.
    pub known: u64,
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

impl Apart<'_> {
    /// Does it. That the run fails is no error here.
    pub async fn run(self, what: What, listener: Listener) -> Result<Came, ApartError> {
        let mut known = Known {
            run: self.run.clone(),
            joined: what == What::Attach,
            read: Arc::new(AtomicU64::new(self.known)),
            end: None,
            lost: None,
            said: String::new(),
        };
        if self.start {
            start::launch_vm(self.engine, self.name, How::default(), &listener).await?;
        }
        let mut running = self.reach(what, &known, self.route, &listener).await?;
        // The line that showed the way goes away.
        drop(listener);
        loop {
            let ended = self.carry(what, running, &mut known).await;
            match ended {
                Ok(1..) if self.log.is_closed() => return Err(ApartError::Unread),
                // Killed with all that belongs to the connection, as a guest does that goes down.
                Ok(128..) => {}
                Ok(code) => return Ok(Came { end: known.end, code, said: known.said }),
                Err(SessionError::Lost(_) | SessionError::Refused(_) | SessionError::NotBegun) => {}
                Err(error) => return Err(LifecycleError::from(error).into()),
            }
            known.end = None;
            if known.lost.is_none() {
                (self.tell)(News::Lost);
            }
            let until = *known.lost.get_or_insert_with(|| Instant::now() + AGAIN);
            running = self.reach_again(what, &known, until).await?;
        }
    }

    fn program(&self, what: What, known: &Known) -> Result<Program, TooLong> {
        let what = match what {
            What::Follow | What::Attach if known.joined => "attach",
            What::Follow | What::Attach => "follow",
            What::Begin => "begin",
            What::Log => "log",
        };
        let read = known.read.load(Ordering::Relaxed).to_string();
        Ok(Program::Command((self.script)([what.to_owned(), known.run.clone(), read]).encode()?))
    }

    async fn reach(
        &self,
        what: What,
        known: &Known,
        route: Route,
        listener: &Listener,
    ) -> Result<Running, LifecycleError> {
        let program = self.program(what, known).map_err(SessionError::from)?;
        reach::start(self.engine, self.name, route, &program, None, listener).await
    }

    /// Tries to have a connection again, by none that was there before, until the deadline.
    async fn reach_again(&self, what: What, known: &Known, deadline: Instant) -> Result<Running, ApartError> {
        let quiet: Listener = Arc::new(|_| {});
        loop {
            sleep(PAUSE).await;
            let route = Route { limit: deadline.saturating_duration_since(Instant::now()), shared: false };
            match self.reach(what, known, route, &quiet).await {
                Ok(running) => return Ok(running),
                Err(error) => {
                    let gone = matches!(error, LifecycleError::Stopped { .. } | LifecycleError::Died { .. });
                    if gone || Instant::now() + PAUSE >= deadline {
                        return Err(ApartError::Lost(Box::new(error)));
                    }
                }
            }
        }
    }

    /// Carries the log until the script ends, and takes down what it says.
    async fn carry(&self, what: What, running: Running, known: &mut Known) -> Result<u8, SessionError> {
        let (say, mut words) = mpsc::unbounded_channel();
        let (_no_control, control) = mpsc::channel(1);
        let stdin = stdio::whole(if known.joined { Bytes::new() } else { self.input.clone() });
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

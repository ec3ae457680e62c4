//! Runs one of the scripts in a guest while a thread reads or writes files.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::lifecycle::Engine;
use crate::lifecycle::event::Listener;
use crate::lifecycle::reach::{self, Route};
use crate::lifecycle::start::{self, How};
use crate::ssh::program::{Program, Sink, Streams};
use crate::ssh::running::Running;
use crate::ssh::signals;
use crate::transfer::bridge::{self, Flow, Kept};
use crate::transfer::error::TransferError;
use crate::transfer::watch::Watch;
use crate::vm::name::VmName;

/// How long a guest may neither send nor take anything while it is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a guest may take to put in place what has arrived.
const PLACING: Duration = Duration::from_secs(600);

/// How long a guest has to clean up after a copy that is not wanted any more.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How much of what a script says is kept, in bytes.
const MAX_SAID: usize = 16 * 1024;

/// How guests are reached.
pub struct Guests<'a> {
    /// The VMs.
    pub engine: &'a Engine,
    /// By which way.
    pub route: Route,
    /// Whether one that is stopped is started.
    pub start: bool,
    /// Makes who is told what happens to a VM until it is reached.
    pub listener: &'a (dyn Fn(&VmName) -> Listener + Send + Sync),
    /// Whether the copy is still wanted.
    pub wanted: Wanted,
}

/// Whether a copy is still wanted: no more after a signal, and after a second one nobody waits for guests to clean up.
#[derive(Clone)]
pub struct Wanted(watch::Receiver<Option<(u8, bool)>>);

/// How a script ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code.
    pub code: u8,
    /// What it wrote to stderr.
    pub said: String,
}

impl Wanted {
    /// Wanted to its end, whatever signals do to this process.
    pub fn always() -> Self {
        Self(watch::channel(None).1)
    }

    /// Listens to signals. To be called in the runtime.
    pub fn until_signal(watches: Vec<Arc<Watch>>) -> std::io::Result<Self> {
        use crate::ssh::program::Control;
        let mut signals = signals::pass_on()?;
        let (sender, receiver) = watch::channel(None);
        tokio::spawn(async move {
            while let Some(control) = signals.recv().await {
                let state = match control {
                    Control::Signal(name) => (128 + number(&name), false),
                    Control::GiveUp(code) => (code, true),
                    Control::Resize { .. } => continue,
                };
                watches.iter().for_each(|watch| watch.cancel());
                sender.send_replace(Some(state));
            }
        });
        Ok(Self(receiver))
    }

    /// Returns the exit code when it is not wanted any more; with `at_once`, when nothing is waited for either.
    async fn ended(&self, at_once: bool) -> u8 {
        let mut state = self.0.clone();
        match state
            .wait_for(|state| state.is_some_and(|(_, hard)| hard || !at_once))
            .await
            .map(|state| *state)
        {
            Ok(Some((code, _))) => code,
            // Nobody listens to signals any more.
            _ => std::future::pending().await,
        }
    }
}

const fn number(name: &str) -> u8 {
    match name.as_bytes() {
        b"HUP" => 1,
        b"INT" => 2,
        b"QUIT" => 3,
        _ => 15,
    }
}

impl Guests<'_> {
    /// Starts a script in a VM.
    pub async fn begin(&self, name: &VmName, program: &Program) -> Result<Running, TransferError> {
        let listener = (self.listener)(name);
        let begin = async {
            if self.start {
                start::launch_vm(self.engine, name, How::default(), &listener).await?;
            }
            reach::start(self.engine, name, self.route, program, None, &listener).await
        };
        tokio::select! {
            running = begin => running.map_err(TransferError::reach),
            code = self.wanted.ended(false) => Err(TransferError::Cancelled(code)),
        }
    }

    /// Runs a script to its end and returns what it wrote to stdout: at most one byte more than `limit`.
    pub async fn ask(
        &self,
        name: &VmName,
        program: &Program,
        stdin: mpsc::Receiver<Bytes>,
        limit: u64,
        watch: &Arc<Watch>,
    ) -> Result<(Vec<u8>, Ended), TransferError> {
        let running = self.begin(name, program).await?;
        let flow = Arc::new(Flow::default());
        // What is asked may take long, in which nothing is said.
        flow.complete();
        let (stdout, reader) = bridge::from_guest(Arc::clone(&flow), Arc::clone(watch));
        let reading = spawn_blocking(move || {
            let mut answer = Vec::new();
            reader.take(limit + 1).read_to_end(&mut answer).map(|_| answer)
        });
        let ended = self.carry(name, running, stdin, stdout, &flow, false).await?;
        Ok((reading.await.ok().and_then(Result::ok).unwrap_or_default(), ended))
    }

    /// Carries the streams of a script to its end. With `cleans_up` it is given time for that when the copy is not
    /// wanted any more.
    pub async fn carry<O: Sink>(
        &self,
        name: &VmName,
        running: Running,
        stdin: mpsc::Receiver<Bytes>,
        stdout: O,
        flow: &Flow,
        cleans_up: bool,
    ) -> Result<Ended, TransferError> {
        let stderr = Kept::up_to(MAX_SAID);
        let said = stderr.clone();
        // Nothing is asked of it while it runs: it ends when its streams do.
        let (_control, requests) = mpsc::channel(1);
        let mut pump = std::pin::pin!(running.pump(Streams { stdin, stdout, stderr }, requests));
        tokio::select! {
            ended = &mut pump => match ended {
                Ok(code) => Ok(Ended { code, said: said.text() }),
                Err(source) => Err(TransferError::Session { name: name.clone(), source }),
            },
            code = self.wanted.ended(false) => {
                if cleans_up {
                    tokio::select! {
                        // Its end is not news.
                        _ = timeout(LAST_WORDS, &mut pump) => {}
                        _ = self.wanted.ended(true) => {}
                    }
                }
                Err(TransferError::Cancelled(code))
            }
            patience = flow.stalled(PATIENCE, PLACING) => {
                Err(TransferError::Stalled { name: name.clone(), seconds: patience.as_secs() })
            }
        }
    }
}

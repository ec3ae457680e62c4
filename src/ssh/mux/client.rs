//! The command's side: asks the holder, starts one where there is none, and does without where that takes too long.

use std::fs::File;
use std::io;
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::net::unix::{OwnedWriteHalf, pipe};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::host::{detached, lock, socket};
use crate::ssh::mux::asked::{Asked, Prepared};
use crate::ssh::mux::pipe::{drain, fill};
use crate::ssh::mux::wire::{self, Listener, Reply, Request};
use crate::ssh::program::{Control, End, Sink, Streams};
use crate::ssh::session::SessionError;

/// How long a new holder may take to listen. It takes some milliseconds.
const COME_UP: Duration = Duration::from_millis(500);

/// Where the holder of a data directory is found.
#[derive(Clone, Debug)]
pub struct Holder {
    /// The data directory.
    pub dir: PathBuf,
    /// The socket's name in it.
    pub socket: String,
    /// The file whose lock makes a holder the only one.
    pub lock: PathBuf,
    /// Where it writes what goes wrong.
    pub log: PathBuf,
}

/// A program that the holder runs for us.
pub struct Remote {
    /// What the holder has said already.
    pub(super) heard: Reply,
    pub(super) hear: Listener,
    pub(super) tell: OwnedWriteHalf,
    pub(super) stdin: pipe::Sender,
    pub(super) stdout: pipe::Receiver,
    pub(super) stderr: pipe::Receiver,
}

impl Holder {
    /// Asks the holder to run a program, on a connection of the command's where it brings one on which the server has
    /// begun to speak. It has so long to have a connection. `None` means that the program has not been run, and will not
    /// be: it should be in another way.
    pub async fn run(
        &self,
        request: &Request,
        brought: Option<TcpStream>,
        limit: Duration,
    ) -> Result<Option<Remote>, SessionError> {
        let asked = async {
            let prepared = Prepared::new().ok()?;
            let brought = brought.map(TcpStream::into_std).transpose().ok()?;
            prepared.send(self.reach().await?, request, brought.as_ref()).ok()
        };
        match asked.await {
            Some(asked) => asked.answer(limit).await,
            None => Ok(None),
        }
    }

    /// Asks a holder that is there already, without a runtime.
    pub fn ask(&self, request: &Request) -> Option<Asked> {
        let prepared = Prepared::new().ok()?;
        prepared.send(socket::connect_at_once(&self.dir, &self.socket).ok()?, request, None).ok()
    }

    /// Connects; starts a holder where none listens.
    async fn reach(&self) -> Option<BlockingStream> {
        let begun = Instant::now();
        let mut pause = Duration::from_micros(200);
        let mut started = false;
        loop {
            match socket::connect_at_once(&self.dir, &self.socket) {
                Ok(stream) => return Some(stream),
                Err(error) if is_absent(&error) && begun.elapsed() < COME_UP => {}
                Err(_) => return None,
            }
            // Where the lock is taken somebody else is just starting one.
            if !started && let Some(lock) = lock::try_exclusive(&self.lock).ok()? {
                start(&self.dir, lock, &self.log).ok()?;
                started = true;
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(10));
        }
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

fn start(dir: &Path, lock: File, log: &Path) -> io::Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("hold-connections");
    detached::spawn(command, dir, lock, log, &[]).map(drop)
}

impl Remote {
    /// Carries the program's streams until it has ended and everything has been said.
    pub async fn pump<O: Sink, E: Sink>(
        self,
        streams: Streams<O, E>,
        mut control: mpsc::Receiver<Control>,
    ) -> Result<End, SessionError> {
        let Self { heard, mut hear, mut tell, stdin, stdout, stderr } = self;
        let Streams { stdin: input, stdout: mut out, stderr: mut err } = streams;
        let feeding = tokio::spawn(fill(stdin, input));
        let ended = {
            let answer = async {
                let mut reply = Some(heard);
                while let Some(Reply::Here | Reply::Running) = reply {
                    reply = hear.next().await;
                }
                match reply {
                    Some(Reply::Ended(code)) => Ok(code),
                    Some(Reply::Refused) => Err(SessionError::Refused(None)),
                    Some(Reply::NotBegun) => Err(SessionError::NotBegun),
                    Some(Reply::Here | Reply::Running | Reply::Lost) | None => Err(SessionError::Lost(None)),
                }
            };
            let all = async {
                let reading = async {
                    // Without a stderr of ours the program's own goes nowhere, and the program goes on.
                    let (out_read, _) = tokio::join!(drain(stdout, &mut out), drain(stderr, &mut err));
                    out_read
                };
                let (mut answer, mut reading) = (std::pin::pin!(answer), std::pin::pin!(reading));
                tokio::select! {
                    code = &mut answer => {
                        // What came before the end is in the pipes, also when the end is a bad one.
                        let read = reading.await;
                        code.map(|code| if read { End::Closed(code) } else { End::ReaderGone })
                    }
                    read = &mut reading => {
                        if !read { return Ok(End::ReaderGone); }
                        answer.await.map(End::Closed)
                    }
                }
            };
            let mut all = std::pin::pin!(all);
            loop {
                tokio::select! {
                    ended = &mut all => break ended,
                    Some(control) = control.recv() => match control {
                        Control::GiveUp(code) => break Ok(End::GivenUp(code)),
                        // A holder that is gone shows in its answer.
                        control => { let _ = wire::say(&mut tell, &control).await; }
                    },
                }
            }
        };
        feeding.abort();
        let (out, err) = (out.finish().await, err.finish().await);
        ended.map(|end| end.given(&[out, err]))
    }
}

//! The command's side: asks the holder, starts one where there is none, and does without where that takes too long.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tokio::net::unix::{OwnedWriteHalf, pipe};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::host::{detached, lock, socket};
use crate::ssh::mux::pipe::{drain, fill};
use crate::ssh::mux::wire::{self, Claim, Listener, Reply, Request};
use crate::ssh::program::{Control, End, Sink, Streams};
use crate::ssh::session::SessionError;

/// How long a new holder may take to listen. It takes some milliseconds.
const COME_UP: Duration = Duration::from_millis(500);

/// How long the holder may take to read a request; one that takes longer is sick.
const READ: Duration = Duration::from_millis(500);

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
    heard: Reply,
    hear: Listener,
    tell: OwnedWriteHalf,
    stdin: pipe::Sender,
    stdout: pipe::Receiver,
    stderr: pipe::Receiver,
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
    ) -> Option<Remote> {
        self.ask(request, brought, limit).await.ok().flatten()
    }

    async fn ask(
        &self,
        request: &Request,
        brought: Option<TcpStream>,
        limit: Duration,
    ) -> io::Result<Option<Remote>> {
        let (stdin_there, stdin) = io::pipe()?;
        let (stdout, stdout_there) = io::pipe()?;
        let (stderr, stderr_there) = io::pipe()?;
        let claim = Claim::new()?;
        // Before anything is sent: a command that fails afterwards could not tell whether its program is run.
        let stdin = pipe::Sender::from_owned_fd(stdin.into())?;
        let stdout = pipe::Receiver::from_owned_fd(stdout.into())?;
        let stderr = pipe::Receiver::from_owned_fd(stderr.into())?;
        let brought = brought.map(TcpStream::into_std).transpose()?;
        let pipes = [stdin_there.as_fd(), stdout_there.as_fd(), stderr_there.as_fd()];
        // As late as can be, so that the holder does not wake for a request that is still to come.
        let Some(stream) = self.reach().await else { return Ok(None) };
        stream.set_write_timeout(Some(READ))?;
        wire::send(&stream, request, pipes, &claim, brought.as_ref().map(AsFd::as_fd))?;
        // Their ends are to be those of the holder's alone.
        drop((stdin_there, stdout_there, stderr_there));
        stream.set_nonblocking(true)?;
        let (hear, tell) = UnixStream::from_std(stream)?.into_split();
        let mut hear = Listener::new(hear);
        let mut reply = timeout(READ, sign(&mut hear, &stdout, &stderr)).await;
        if reply == Ok(Some(Reply::Here)) {
            reply = timeout(limit, sign(&mut hear, &stdout, &stderr)).await;
        }
        let heard = match reply {
            Ok(Some(reply)) if reply != Reply::Here => reply,
            _ if claim.make() => return Ok(None),
            // It has been made, and how that ends is still to be heard.
            _ => Reply::Running,
        };
        Ok(Some(Remote { heard, hear, tell, stdin, stdout, stderr }))
    }

    /// Connects; starts a holder where none listens.
    async fn reach(&self) -> Option<BlockingStream> {
        let begun = Instant::now();
        let mut pause = Duration::from_micros(200);
        let mut started = false;
        loop {
            match socket::connect(&self.dir, &self.socket) {
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

/// Waits for something from the holder, and returns what it said, if it did: pipes that something was written to, or that
/// were closed, are a sign as well.
async fn sign(hear: &mut Listener, stdout: &pipe::Receiver, stderr: &pipe::Receiver) -> Option<Reply> {
    tokio::select! {
        biased;
        reply = hear.next() => reply,
        _ = stdout.readable() => None,
        _ = stderr.readable() => None,
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

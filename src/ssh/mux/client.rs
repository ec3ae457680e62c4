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
        let stream = self.reach().await?;
        ask(stream, request, brought, limit).await.ok().flatten()
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

async fn ask(
    stream: BlockingStream,
    request: &Request,
    brought: Option<TcpStream>,
    limit: Duration,
) -> io::Result<Option<Remote>> {
    stream.set_write_timeout(Some(READ))?;
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
    wire::send(&stream, request, pipes, &claim, brought.as_ref().map(AsFd::as_fd))?;
    // Their ends are to be those of the holder's alone.
    drop((stdin_there, stdout_there, stderr_there));
    stream.set_nonblocking(true)?;
    let (hear, tell) = UnixStream::from_std(stream)?.into_split();
    let mut hear = Listener::new(hear);
    let mut reply = timeout(READ, hear.next()).await;
    if reply == Ok(Some(Reply::Here)) {
        reply = timeout(limit, hear.next()).await;
    }
    // Where the claim is no longer to be had it has just been made, and how that ends is still to be heard.
    if reply != Ok(Some(Reply::Running)) && claim.make() {
        return Ok(None);
    }
    Ok(Some(Remote { hear, tell, stdin, stdout, stderr }))
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
        let Self { mut hear, mut tell, stdin, stdout, stderr } = self;
        let Streams { stdin: input, stdout: mut out, stderr: mut err } = streams;
        let feeding = tokio::spawn(fill(stdin, input));
        let ended = {
            let answer = async {
                loop {
                    break match hear.next().await {
                        // Said too late to be waited for.
                        Some(Reply::Here | Reply::Running) => continue,
                        Some(Reply::Ended(code)) => Ok(code),
                        Some(Reply::Refused) => Err(SessionError::Refused(None)),
                        Some(Reply::NotBegun) => Err(SessionError::NotBegun),
                        Some(Reply::Lost) | None => Err(SessionError::Lost(None)),
                    };
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

//! What is said between a command and the holder: first one request with its descriptors, then lines in both directions.

use std::io::{self, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as BlockingStream;
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;

use crate::ssh::command::Encoded;
use crate::ssh::program::TerminalRequest;
use crate::ssh::target::Target;

/// Part of the socket's name: a holder of another version is never asked.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "-7");

/// The longest request in bytes. A command line has 128 KiB at most, and comes twice.
const MAX_REQUEST: usize = 1 << 20;

/// How many pipes come with a request: for stdin, stdout and stderr.
pub const PIPES: usize = 3;

/// How many descriptors can come with a request: the pipes, the claim, and a connection to the server.
const DESCRIPTORS: usize = PIPES + 2;

/// What a command wants to run, and where.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    /// The server.
    pub target: Target,
    /// The marker of the boot that the program is for, and what else makes a login another one.
    pub boot: String,
    /// How long the program may take to begin.
    pub limit: Duration,
    /// The command; none for the user's login shell.
    pub command: Option<Encoded>,
    /// The terminal that it gets.
    pub terminal: Option<TerminalRequest>,
}

/// What the holder says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The request has been read, and it takes a while to have a connection.
    Here,
    /// The program is being run. What is over in a moment, and gets no input, ends without this.
    Running,
    /// It ended with this exit code, and all of its output is in the pipes.
    Ended(u8),
    /// The connection was lost.
    Lost,
    /// The server refused to run it.
    Refused,
    /// The server did not begin to run it in time.
    NotBegun,
}

/// Decides who runs a program: the holder, or the command by itself when it has waited long enough. It can be made once,
/// by one of the two, without asking the other: a program is never run twice, and nobody waits for an answer.
#[derive(Debug)]
pub struct Claim(OwnedFd);

impl Claim {
    /// Returns a claim that nobody has made.
    pub fn new() -> io::Result<Self> {
        Ok(Self(eventfd(1, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    /// Makes the claim; false when the other has made it.
    pub fn make(&self) -> bool {
        // The kernel gives the one to one reader and nothing to the other.
        rustix::io::read(&self.0, &mut [0; 8]).is_ok()
    }
}

/// What came from a command.
#[derive(Debug)]
pub struct Received {
    /// What it wants.
    pub request: Request,
    /// The pipes for the program's stdin, stdout and stderr.
    pub pipes: [OwnedFd; PIPES],
    /// To be made before the program is run.
    pub claim: Claim,
    /// A connection on which the server has begun to speak, where the command had one.
    pub connection: Option<OwnedFd>,
}

/// Sends a request with its pipes and the claim, and with a connection to the server if there is one.
pub fn send(
    stream: &BlockingStream,
    request: &Request,
    pipes: [BorrowedFd<'_>; PIPES],
    claim: &Claim,
    connection: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let body = serde_json::to_vec(request)?;
    let length = u32::try_from(body.len()).map_err(io::Error::other)?.to_be_bytes();
    let message = [length.as_slice(), &body].concat();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptors: Vec<_> = pipes.into_iter().chain([claim.0.as_fd()]).chain(connection).collect();
    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    let sent = sendmsg(stream, &[IoSlice::new(&message)], &mut ancillary, SendFlags::NOSIGNAL)?;
    // The descriptors went along with the first byte.
    let mut stream = stream;
    stream.write_all(message.get(sent..).unwrap_or_default())
}

/// Receives a request.
pub async fn receive(stream: &mut UnixStream) -> io::Result<Received> {
    let mut length = [0; 4];
    let (read, descriptors) =
        stream.async_io(Interest::READABLE, || receive_descriptors(&*stream, &mut length)).await?;
    let mut descriptors = descriptors.into_iter();
    let pipes = descriptors.by_ref().take(PIPES).collect::<Vec<_>>();
    let pipes = <[OwnedFd; PIPES]>::try_from(pipes).map_err(|_| io::ErrorKind::InvalidData)?;
    let claim = Claim(descriptors.next().ok_or(io::ErrorKind::InvalidData)?);
    let connection = descriptors.next();
    stream.read_exact(length.get_mut(read..).unwrap_or_default()).await?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > MAX_REQUEST {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(Received { request: serde_json::from_slice(&body)?, pipes, claim, connection })
}

fn receive_descriptors(stream: &UnixStream, bytes: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let read = recvmsg(stream, &mut [IoSliceMut::new(bytes)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?.bytes;
    let mut descriptors = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            descriptors.extend(fds);
        }
    }
    Ok((read, descriptors))
}

/// Says something on one line.
pub async fn say(stream: &mut (impl AsyncWrite + Unpin), what: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    stream.write_all(&line).await
}

/// Listens to what the other side says.
pub struct Listener {
    stream: BufReader<OwnedReadHalf>,
    /// What has been heard of the next line.
    line: Vec<u8>,
}

impl Listener {
    /// Listens on a stream.
    pub fn new(stream: OwnedReadHalf) -> Self {
        Self { stream: BufReader::new(stream), line: Vec::new() }
    }

    /// Returns what is said next; `None` when the other side is gone, or not understood. It may be broken off.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Option<T> {
        self.stream.read_until(b'\n', &mut self.line).await.ok()?;
        let said = serde_json::from_slice(&self.line).ok();
        self.line.clear();
        said
    }
}

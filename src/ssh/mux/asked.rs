//! A request that has been sent to the holder, which may be running its program by now.

use std::io::{self, PipeReader, PipeWriter};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream as BlockingStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, recv};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::time::timeout;

use crate::ssh::mux::client::Remote;
use crate::ssh::mux::wire::{self, Claim, Listener, Reply, Request};
use crate::ssh::session::SessionError;

/// How long the holder may take to read a request; one that takes longer is sick.
const READ: Duration = Duration::from_millis(500);

/// How long to wait for a program that is over in a moment: a little longer than the holder says nothing of one.
const MOMENT: Timespec = Timespec { tv_sec: 0, tv_nsec: 15_000_000 };

/// The longest line of the holder's, in bytes, with room to spare.
const LINE: usize = 64;

/// What a request needs besides its words.
pub struct Prepared {
    stdin: (PipeReader, PipeWriter),
    stdout: (PipeReader, PipeWriter),
    stderr: (PipeReader, PipeWriter),
    claim: Claim,
}

/// A request that has been sent.
pub struct Asked {
    stream: BlockingStream,
    stdin: PipeWriter,
    stdout: PipeReader,
    stderr: PipeReader,
    claim: Claim,
}

impl Prepared {
    /// Makes everything ready, so that the holder does not wake for a request that is still to come.
    pub fn new() -> io::Result<Self> {
        Ok(Self { stdin: io::pipe()?, stdout: io::pipe()?, stderr: io::pipe()?, claim: Claim::new()? })
    }

    /// Sends a request, with a connection to the server if there is one. An error means that it will not be done.
    pub fn send(
        self,
        stream: BlockingStream,
        request: &Request,
        brought: Option<&TcpStream>,
    ) -> io::Result<Asked> {
        stream.set_write_timeout(Some(READ))?;
        let Self { stdin: (stdin_there, stdin), stdout: (stdout, stdout_there), stderr, claim } = self;
        let (stderr, stderr_there) = stderr;
        // The holder's ends are to be the holder's alone.
        let pipes = [stdin_there.as_fd(), stdout_there.as_fd(), stderr_there.as_fd()];
        wire::send(&stream, request, pipes, &claim, brought.map(AsFd::as_fd))?;
        Ok(Asked { stream, stdin, stdout, stderr, claim })
    }
}

impl Asked {
    /// Returns the exit code of a program that is over in a moment and writes nothing, as many a command of a loop does: to
    /// wait for it without a runtime takes a tenth less time. Everything else is left to [`Self::answer`].
    pub fn ended(&self) -> Option<u8> {
        let flags = PollFlags::IN;
        let mut all = [
            PollFd::new(&self.stream, flags),
            PollFd::new(&self.stdout, flags),
            PollFd::new(&self.stderr, flags),
        ];
        poll(&mut all, Some(&MOMENT)).ok()?;
        let [said, written @ ..] = &all;
        // What a program writes is there before its end is told, and is looked for after that.
        if said.revents().is_empty() || written.iter().any(|pipe| pipe.revents().contains(flags)) {
            return None;
        }
        let mut line = [0; LINE];
        let (_, told) = recv(&self.stream, &mut line, RecvFlags::PEEK).ok()?;
        match serde_json::from_slice(line.get(..told)?) {
            Ok(Reply::Ended(code)) => Some(code),
            _ => None,
        }
    }

    /// Waits until the program runs. The holder has so long to have a connection. `None` means that the program has not been
    /// run, and will not be: it should be in another way.
    pub async fn answer(self, limit: Duration) -> Result<Option<Remote>, SessionError> {
        let Self { stream, stdin, stdout, stderr, claim } = self;
        let open = || -> io::Result<_> {
            stream.set_nonblocking(true)?;
            let (hear, tell) = UnixStream::from_std(stream)?.into_split();
            let stdin = pipe::Sender::from_owned_fd(stdin.into())?;
            let (stdout, stderr) = (stdout.into(), stderr.into());
            let (stdout, stderr) =
                (pipe::Receiver::from_owned_fd(stdout)?, pipe::Receiver::from_owned_fd(stderr)?);
            Ok((Listener::new(hear), tell, stdin, stdout, stderr))
        };
        let (mut hear, tell, stdin, stdout, stderr) = match open() {
            Ok(opened) => opened,
            Err(_) if claim.make() => return Ok(None),
            Err(_) => return Err(SessionError::Lost(None)),
        };
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

//! A short remote command whose output is wanted here: asked by ai-vm itself, such as whether a guest is ready.

use russh::ChannelMsg;
use tokio::time::{Instant, timeout_at};

use crate::diagnostic::{Diagnostic, Kind};
use crate::ssh::command::TooLong;
use crate::ssh::connect::Session;

/// The most that is kept of a command's output, in bytes.
const MAX_OUTPUT: usize = 1 << 20;

/// What a command came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// Its exit status; `None` when it was killed.
    pub status: Option<u32>,
    /// What it wrote to stdout.
    pub stdout: Vec<u8>,
}

/// Why a command did not run to its end.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The connection was lost.
    #[error("the connection to the VM was lost")]
    Lost(#[source] Option<russh::Error>),
    /// The server did not run it.
    #[error("the VM's SSH server refuses to run a command")]
    Refused(#[source] Option<russh::Error>),
    /// The server did not begin to run it in time.
    #[error("the VM's SSH server did not begin to run the command in time")]
    NotBegun,
    /// No end in time.
    #[error("the command in the VM did not end in time")]
    Timeout,
    /// It cannot be sent.
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// The terminal here cannot be used.
    #[error("cannot use the terminal")]
    Terminal(#[source] std::io::Error),
}

impl Diagnostic for SessionError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotBegun | Self::Timeout => Kind::Timeout,
            Self::TooLong(error) => error.kind(),
            Self::Lost(_) | Self::Refused(_) | Self::Terminal(_) => Kind::Failed,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::TooLong(error) => error.hints(),
            _ => Vec::new(),
        }
    }
}

impl Session {
    /// Tells whether the connection is known to be closed, without asking.
    pub fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }

    /// Asks the server for a sign of life and waits for it.
    pub async fn is_alive(&self) -> bool {
        self.handle.send_ping().await.is_ok() && !self.handle.is_closed()
    }

    /// Runs a command line as the user's login shell reads it and returns what it wrote.
    pub async fn capture(&self, line: &str, deadline: Instant) -> Result<Captured, SessionError> {
        timeout_at(deadline, self.capture_whole(line, deadline)).await.unwrap_or(Err(SessionError::Timeout))
    }

    async fn capture_whole(&self, line: &str, deadline: Instant) -> Result<Captured, SessionError> {
        let mut channel = self.open(deadline).await?;
        let lost = |error| SessionError::Lost(Some(error));
        channel.exec(true, line).await.map_err(lost)?;
        // It gets no input, and is told so.
        channel.eof().await.map_err(lost)?;
        let mut captured = Captured::default();
        let mut closed = false;
        while let Some(message) = channel.wait().await {
            match message {
                ChannelMsg::Data { data } if captured.stdout.len() + data.len() <= MAX_OUTPUT => {
                    captured.stdout.extend_from_slice(&data);
                }
                ChannelMsg::ExitStatus { exit_status } => captured.status = Some(exit_status),
                ChannelMsg::Failure => return Err(SessionError::Refused(None)),
                ChannelMsg::Close => closed = true,
                _ => {}
            }
        }
        if closed { Ok(captured) } else { Err(SessionError::Lost(None)) }
    }
}

//! A program in a guest: how it is started, and how its streams, signals and end are carried over one channel.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Error, Sig};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout_at};

use crate::ssh::command::{self, Encoded};
use crate::ssh::connect::Session;
use crate::ssh::session::SessionError;

/// How long output may stay away after the command has ended before it is taken to be complete. Only a process that
/// the command left behind with its streams open makes this matter: without one the server says when all is said.
const LINGER: Duration = Duration::from_secs(1);

/// How many requests about a running program may wait for a connection that carries none at the moment.
const REQUESTS: usize = 8;

/// The exit code when the reader of our output went away, as the shell reports SIGPIPE.
const PIPE_CLOSED: u8 = 141;

/// What to run.
#[derive(Clone, Debug)]
pub enum Program {
    /// A command.
    Command(Encoded),
    /// The user's login shell.
    Shell,
}

/// The terminal that a program gets.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TerminalRequest {
    /// Its kind, as in `TERM`.
    pub term: String,
    /// Columns.
    pub columns: u32,
    /// Rows.
    pub rows: u32,
    /// Variables of the locale, as far as the server accepts them.
    pub locale: Vec<(String, String)>,
}

/// What is asked of a running program besides its input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Control {
    /// Deliver a signal: its name without `SIG`.
    Signal(String),
    /// The terminal has another size.
    Resize {
        /// Columns.
        columns: u32,
        /// Rows.
        rows: u32,
    },
    /// Do not wait any longer and return this exit code.
    GiveUp(u8),
}

/// Takes what a program writes.
pub trait Sink: Send + 'static {
    /// Takes a chunk, when there is room; false when the reader has gone away.
    fn write(&mut self, chunk: Bytes) -> impl Future<Output = bool> + Send;
    /// Waits until everything has been passed on.
    fn finish(self) -> impl Future<Output = io::Result<()>> + Send;
}

/// What a program's streams are connected to here.
#[derive(Debug)]
pub struct Streams<O, E> {
    /// Its input, which ends when the sender is dropped.
    pub stdin: mpsc::Receiver<Bytes>,
    /// Takes its stdout.
    pub stdout: O,
    /// Takes its stderr.
    pub stderr: E,
}

/// A program that has been started, or a shell that waits for a command.
pub struct Started {
    channel: Channel<Msg>,
    /// When the server has to have said that it has begun.
    begin_by: Instant,
}

impl Session {
    /// Asks the server to start a program. It has until the deadline to begin, which [`Started::pump`] sees to.
    pub async fn start(
        &self,
        program: &Program,
        terminal: Option<&TerminalRequest>,
        begin_by: Instant,
    ) -> Result<Started, SessionError> {
        let lost = |error| SessionError::Lost(Some(error));
        let channel = self.open(begin_by).await?;
        if let Some(TerminalRequest { term, columns, rows, locale }) = terminal {
            for (name, value) in locale {
                channel.set_env(false, name, value).await.map_err(lost)?;
            }
            channel.request_pty(false, term, *columns, *rows, 0, 0, &[]).await.map_err(lost)?;
        }
        let asked = match program {
            Program::Command(Encoded { line, .. }) => channel.exec(true, line.as_str()).await,
            Program::Shell => channel.request_shell(true).await,
        };
        asked.map_err(lost)?;
        Ok(Started { channel, begin_by })
    }

    /// Starts a shell that waits for [`Started::begin`].
    pub async fn standby(&self, begin_by: Instant) -> Result<Started, SessionError> {
        let channel = self.open(begin_by).await?;
        channel.exec(true, command::standby()).await.map_err(|error| SessionError::Lost(Some(error)))?;
        Ok(Started { channel, begin_by })
    }

    /// Opens a channel. Nothing has run when that fails.
    pub(super) async fn open(&self, deadline: Instant) -> Result<Channel<Msg>, SessionError> {
        match timeout_at(deadline, self.handle.channel_open_session()).await {
            Ok(Err(error @ Error::ChannelOpenFailure(_))) => Err(SessionError::Refused(Some(error))),
            Ok(opened) => opened.map_err(|error| SessionError::Lost(Some(error))),
            Err(_) => Err(SessionError::NotBegun),
        }
    }
}

impl Started {
    /// Makes a shell that waits become a command.
    pub async fn begin(&mut self, command: &Encoded, begin_by: Instant) -> Result<(), SessionError> {
        self.begin_by = begin_by;
        let line = format!("{}\n", command.script);
        self.channel.data_bytes(line).await.map_err(|error| SessionError::Lost(Some(error)))
    }

    /// Carries the program's streams until it has ended and everything has been said.
    pub async fn pump<O: Sink, E: Sink>(
        self,
        streams: Streams<O, E>,
        mut control: mpsc::Receiver<Control>,
    ) -> Result<End, SessionError> {
        let Streams { stdin, mut stdout, mut stderr } = streams;
        let (mut reader, writer) = self.channel.split();
        let writer = Arc::new(writer);
        // Input before the server has said that the program runs could fill the connection, so that this is never heard.
        let (begun, begin) = oneshot::channel();
        let feeding = tokio::spawn(feed(begin, Arc::clone(&writer), stdin));
        let (ask, requests) = mpsc::channel(REQUESTS);
        let asking = tokio::spawn(pass_on(writer, requests));
        let result = {
            let mut receiving =
                std::pin::pin!(receive(&mut reader, self.begin_by, begun, &mut stdout, &mut stderr));
            loop {
                tokio::select! {
                    end = &mut receiving => break end,
                    Some(control) = control.recv() => match control {
                        Control::GiveUp(code) => break Ok(End::GivenUp(code)),
                        // Where so many wait already, the connection is stuck: only giving up helps.
                        request => { let _ = ask.try_send(request); }
                    },
                }
            }
        };
        feeding.abort();
        asking.abort();
        let (out, err) = (stdout.finish().await, stderr.finish().await);
        result.map(|end| end.given(&[out, err]))
    }
}

/// How a program came to its end. Each holds its exit code: its own, or 128+N when signal N ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It ended, and all that belongs to it.
    Closed(u8),
    /// It ended and left something behind that keeps its streams open.
    Left(u8),
    /// Whoever read its output has gone away, and it has been let go.
    ReaderGone,
    /// It was not waited for any longer.
    GivenUp(u8),
}

impl End {
    /// Returns the exit code.
    pub const fn code(self) -> u8 {
        match self {
            Self::Closed(code) | Self::Left(code) | Self::GivenUp(code) => code,
            Self::ReaderGone => PIPE_CLOSED,
        }
    }

    /// Returns the end when that is how passing its output on ended: success that was not heard is none.
    pub(super) fn given(self, passed_on: &[io::Result<()>]) -> Self {
        let heard = passed_on.iter().all(Result::is_ok);
        if !heard && self.code() == 0 { Self::ReaderGone } else { self }
    }
}

/// Sends input to the program once it has begun, as fast as the program reads it, and then its end.
async fn feed(
    begin: oneshot::Receiver<()>,
    writer: Arc<ChannelWriteHalf<Msg>>,
    mut stdin: mpsc::Receiver<Bytes>,
) {
    if begin.await.is_err() {
        return;
    }
    while let Some(chunk) = stdin.recv().await {
        if writer.data_bytes(chunk).await.is_err() {
            return;
        }
    }
    let _ = writer.eof().await;
}

/// Passes requests on. A connection can be unable to take one while its output is not received, so this is not done
/// between two receipts.
async fn pass_on(writer: Arc<ChannelWriteHalf<Msg>>, mut requests: mpsc::Receiver<Control>) {
    while let Some(request) = requests.recv().await {
        // A connection that is gone shows in `receive`.
        let _ = match request {
            Control::Signal(name) => writer.signal(named(&name)).await,
            Control::Resize { columns, rows } => writer.window_change(columns, rows, 0, 0).await,
            Control::GiveUp(_) => Ok(()),
        };
    }
}

/// Receives output until the program has ended and everything has been said.
async fn receive(
    reader: &mut ChannelReadHalf,
    begin_by: Instant,
    begun: oneshot::Sender<()>,
    stdout: &mut impl Sink,
    stderr: &mut impl Sink,
) -> Result<End, SessionError> {
    let mut waiting = Some(begun);
    let mut complete = false;
    let mut code = None;
    loop {
        let message = match code {
            None if waiting.is_some() => match timeout_at(begin_by, reader.wait()).await {
                Ok(message) => {
                    // The window can grow before the server has answered.
                    if !matches!(message, Some(ChannelMsg::WindowAdjusted { .. })) {
                        // Nobody is there to be told when there is no input.
                        let _ = waiting.take().map(|begun| begun.send(()));
                    }
                    message
                }
                Err(_) => return Err(SessionError::NotBegun),
            },
            None => reader.wait().await,
            Some(code) => tokio::select! {
                message = reader.wait() => message,
                () = sleep(LINGER) => return Ok(End::Left(code)),
            },
        };
        match message {
            Some(ChannelMsg::Data { data }) => {
                if !stdout.write(data).await {
                    return Ok(End::ReaderGone);
                }
            }
            Some(ChannelMsg::ExtendedData { data, .. }) => {
                // Without a stderr of ours the program's own goes nowhere, and the program goes on.
                stderr.write(data).await;
            }
            Some(ChannelMsg::ExitStatus { exit_status }) => {
                code = Some(u8::try_from(exit_status).unwrap_or(u8::MAX));
            }
            Some(ChannelMsg::ExitSignal { signal_name, .. }) => code = Some(128 + number(&signal_name)),
            Some(ChannelMsg::Failure) => return Err(SessionError::Refused(None)),
            Some(ChannelMsg::Eof) => complete = true,
            Some(ChannelMsg::Close) => return code.map(End::Closed).ok_or(SessionError::Lost(None)),
            // The connection is gone. A status without everything that was written before it is not to be trusted.
            None => return code.filter(|_| complete).map(End::Closed).ok_or(SessionError::Lost(None)),
            Some(_) => {}
        }
    }
}

/// Returns SSH's form of a signal's name.
fn named(name: &str) -> Sig {
    match name {
        "HUP" => Sig::HUP,
        "INT" => Sig::INT,
        "QUIT" => Sig::QUIT,
        "TERM" => Sig::TERM,
        other => Sig::Custom(other.to_owned()),
    }
}

/// Returns the number that Linux gives a signal; 0 for one that it does not have.
fn number(signal: &Sig) -> u8 {
    match signal {
        Sig::HUP => 1,
        Sig::INT => 2,
        Sig::QUIT => 3,
        Sig::ILL => 4,
        Sig::ABRT => 6,
        Sig::FPE => 8,
        Sig::KILL => 9,
        Sig::USR1 => 10,
        Sig::SEGV => 11,
        Sig::PIPE => 13,
        Sig::ALRM => 14,
        Sig::TERM => 15,
        Sig::Custom(name) => match name.as_str() {
            "TRAP" => 5,
            "BUS" => 7,
            "USR2" => 12,
            "XCPU" => 24,
            "XFSZ" => 25,
            "SYS" => 31,
            _ => 0,
        },
    }
}

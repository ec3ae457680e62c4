//! Runs a command or a shell in a guest as if it ran here: streams, terminal, signals, exit code.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use russh::client::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use crate::host::terminal::{self, RawMode};
use crate::ssh::connect::Session;
use crate::ssh::session::SessionError;
use crate::ssh::stdio::{self, Output};

/// How long output may stay away after the command has ended before it is taken to be complete. Only a process that
/// the command left behind with its streams open makes this matter: without one the server says when all is said.
const LINGER: Duration = Duration::from_secs(1);

/// How long a command may go on after TERM or HUP before it is left alone.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// The exit code when the reader of our output went away, as the shell reports SIGPIPE.
const PIPE_CLOSED: u8 = 141;

/// What to run.
#[derive(Clone, Debug)]
pub enum Program {
    /// A command line for the server.
    Command(String),
    /// The user's login shell.
    Shell,
}

/// Runs a program with this process's streams and returns its exit code: the guest's own, or 128+N when signal N
/// killed it.
///
/// With `tty` the guest gives it a terminal, of the size of the one here, which is in raw mode meanwhile.
/// INT, TERM, HUP and QUIT are passed on; a second one gives up. TERM and HUP, which programs send that do not ask
/// twice, give up by themselves if the command does not end.
pub async fn run(session: Session, program: Program, tty: bool) -> Result<u8, SessionError> {
    let lost = |error| SessionError::Lost(Some(error));
    let channel =
        session.handle.channel_open_session().await.map_err(|error| SessionError::Refused(Some(error)))?;
    let mut raw = None;
    if tty {
        for (name, value) in locale() {
            channel.set_env(false, name, value).await.map_err(lost)?;
        }
        let (columns, rows) = terminal::size(io::stdout());
        let term = std::env::var("TERM").unwrap_or_else(|_| "xterm".to_owned());
        channel.request_pty(false, &term, columns, rows, 0, 0, &[]).await.map_err(lost)?;
    }
    match program {
        Program::Command(line) => channel.exec(true, line).await.map_err(lost)?,
        Program::Shell => channel.request_shell(true).await.map_err(lost)?,
    }
    if tty && rustix::termios::isatty(io::stdin()) {
        raw = Some(RawMode::enter().map_err(SessionError::Terminal)?);
    }
    let (reader, writer) = channel.split();
    let code = Streams { writer, raw }.pump(reader).await;
    drop(session);
    code
}

/// The locale of this process, which the guest's server accepts.
fn locale() -> impl Iterator<Item = (String, String)> {
    std::env::vars().filter(|(name, _)| name == "LANG" || name == "COLORTERM" || name.starts_with("LC_"))
}

struct Streams {
    writer: ChannelWriteHalf<Msg>,
    raw: Option<RawMode>,
}

impl Streams {
    async fn pump(self, mut reader: ChannelReadHalf) -> Result<u8, SessionError> {
        let stdout = stdio::output(io::stdout());
        let stderr = stdio::output(io::stderr());
        let Self { writer, raw } = self;
        let writer = std::sync::Arc::new(writer);
        let feeding = tokio::spawn(feed(std::sync::Arc::clone(&writer), stdio::stdin()));
        let mut signals = Signals::listen().map_err(SessionError::Terminal)?;
        let result = loop {
            tokio::select! {
                end = receive(&mut reader, &stdout, &stderr) => break end,
                signal = signals.next() => match signal {
                    Event::Resized => {
                        let (columns, rows) = terminal::size(io::stdout());
                        // A connection that is gone shows in `receive`.
                        let _ = writer.window_change(columns, rows, 0, 0).await;
                    }
                    Event::Resumed => {
                        // The terminal may be gone; then nothing is typed either.
                        let _ = raw.as_ref().map(RawMode::again);
                    }
                    Event::Forward(signal) => {
                        let _ = writer.signal(signal).await;
                    }
                    Event::GiveUp(number) => break Ok(End::Code(128 + number)),
                },
            }
        };
        feeding.abort();
        drop(raw);
        let (out, err) = (stdout.finish().await, stderr.finish().await);
        let broken = [out, err].into_iter().any(|done| done.is_err());
        match result? {
            End::ReaderGone => Ok(PIPE_CLOSED),
            End::Code(0) if broken => Ok(PIPE_CLOSED),
            End::Code(code) => Ok(code),
        }
    }
}

enum End {
    Code(u8),
    /// Whoever read our stdout has gone away.
    ReaderGone,
}

/// Sends stdin to the command, as fast as the command reads it, and then its end.
async fn feed(writer: std::sync::Arc<ChannelWriteHalf<Msg>>, mut stdin: mpsc::Receiver<Bytes>) {
    while let Some(chunk) = stdin.recv().await {
        if writer.data_bytes(chunk).await.is_err() {
            return;
        }
    }
    let _ = writer.eof().await;
}

/// Receives output until the command has ended and everything has been said.
async fn receive(
    reader: &mut ChannelReadHalf,
    stdout: &Output,
    stderr: &Output,
) -> Result<End, SessionError> {
    let mut code = None;
    loop {
        let message = match code {
            None => reader.wait().await,
            Some(code) => tokio::select! {
                message = reader.wait() => message,
                () = sleep(LINGER) => return Ok(End::Code(code)),
            },
        };
        match message {
            Some(ChannelMsg::Data { data }) => {
                if !stdout.send(data).await {
                    return Ok(End::ReaderGone);
                }
            }
            Some(ChannelMsg::ExtendedData { data, .. }) => {
                // Without a stderr of ours the command's own goes nowhere, and the command goes on.
                stderr.send(data).await;
            }
            Some(ChannelMsg::ExitStatus { exit_status }) => {
                code = Some(u8::try_from(exit_status).unwrap_or(u8::MAX));
            }
            Some(ChannelMsg::ExitSignal { signal_name, .. }) => code = Some(128 + number(&signal_name)),
            Some(ChannelMsg::Failure) => return Err(SessionError::Refused(None)),
            Some(ChannelMsg::Close) | None => {
                return code.map(End::Code).ok_or(SessionError::Lost(None));
            }
            Some(_) => {}
        }
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

/// Signals that this process gets while a command runs.
struct Signals {
    int: Signal,
    term: Signal,
    hup: Signal,
    quit: Signal,
    winch: Signal,
    cont: Signal,
    /// The number of the signal that was passed on last, and when to give up because of it.
    asked: Option<(u8, Option<Instant>)>,
}

enum Event {
    Forward(Sig),
    Resized,
    Resumed,
    /// Because of the signal with this number.
    GiveUp(u8),
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            int: signal(SignalKind::interrupt())?,
            term: signal(SignalKind::terminate())?,
            hup: signal(SignalKind::hangup())?,
            quit: signal(SignalKind::quit())?,
            winch: signal(SignalKind::window_change())?,
            cont: signal(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw()))?,
            asked: None,
        })
    }

    async fn next(&mut self) -> Event {
        let deadline = self.asked.and_then(|(number, until)| Some((number, until?)));
        let patience = async {
            match deadline {
                Some((number, until)) => {
                    sleep_until(until).await;
                    number
                }
                None => std::future::pending().await,
            }
        };
        let (signal, lasting) = tokio::select! {
            _ = self.int.recv() => (Sig::INT, true),
            _ = self.quit.recv() => (Sig::QUIT, true),
            _ = self.term.recv() => (Sig::TERM, false),
            _ = self.hup.recv() => (Sig::HUP, false),
            _ = self.winch.recv() => return Event::Resized,
            _ = self.cont.recv() => return Event::Resumed,
            number = patience => return Event::GiveUp(number),
        };
        let number = number(&signal);
        let until = (!lasting).then(|| Instant::now() + LAST_WORDS);
        match self.asked.replace((number, until)) {
            None => Event::Forward(signal),
            Some(_) => Event::GiveUp(number),
        }
    }
}

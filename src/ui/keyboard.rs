//! The keyboard while a menu is open: keys one by one, and whatever ends it from outside.

use std::io;
use std::time::Duration;

use rustix::io::Errno;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::keys::{self, Key};
use crate::host::terminal::RawMode;

/// How long the rest of a key's sequence may take. An ESC by itself is known as the key only then.
const REST: Duration = Duration::from_millis(50);

/// What happens at a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A key was pressed.
    Key(Key),
    /// The screen is not what it was: it has another size, or somebody else has used it.
    Redraw,
    /// This process is to end with this exit code: 128 and the number of a signal. A terminal that has gone away is a
    /// hangup.
    Ended(u8),
}

/// The exit codes of who is ended by a signal.
const HUNG_UP: u8 = 129;
const INTERRUPTED: u8 = 130;
const QUIT: u8 = 131;
const TERMINATED: u8 = 143;

/// The terminal on stdin in raw mode. Dropped, it is as it was before.
///
/// Nothing else is switched at the terminal, neither its second screen nor its cursor, the mouse or marks around what is
/// pasted: so nothing else is left behind when this process is killed.
#[derive(Debug)]
pub struct Keyboard {
    raw: RawMode,
    reader: Reader,
    signals: [(Signal, u8); 4],
    winch: Signal,
    cont: Signal,
    /// What was sent and is no key yet.
    sent: Vec<u8>,
}

impl Keyboard {
    /// Takes the keyboard. From here on signals do not end this process: [`Input::Ended`] says that it has to. It must be
    /// called within the runtime.
    pub fn open() -> io::Result<Self> {
        let listen = |kind: SignalKind, code: u8| Ok::<_, io::Error>((signal(kind)?, code));
        Ok(Self {
            signals: [
                listen(SignalKind::interrupt(), INTERRUPTED)?,
                listen(SignalKind::terminate(), TERMINATED)?,
                listen(SignalKind::hangup(), HUNG_UP)?,
                listen(SignalKind::quit(), QUIT)?,
            ],
            winch: signal(SignalKind::window_change())?,
            cont: signal(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw()))?,
            reader: Reader::begin(),
            sent: Vec::new(),
            // Last: nothing can fail any more that would have to be told.
            raw: RawMode::enter()?,
        })
    }

    /// Waits for what happens next.
    pub async fn next(&mut self) -> Input {
        let mut is_all = false;
        loop {
            if let Some((key, bytes)) = keys::first(&self.sent, is_all) {
                self.sent.drain(..bytes);
                return Input::Key(key);
            }
            let patience = if self.sent.is_empty() { Duration::MAX } else { REST };
            let [int, term, hup, quit] = &mut self.signals;
            let code = tokio::select! {
                _ = int.0.recv() => int.1,
                _ = term.0.recv() => term.1,
                _ = hup.0.recv() => hup.1,
                _ = quit.0.recv() => quit.1,
                _ = self.winch.recv() => return Input::Redraw,
                _ = self.cont.recv() => {
                    // Whoever had the terminal meanwhile has set it as they like it. It may be gone; then that is read.
                    let _ = self.raw.again();
                    return Input::Redraw;
                }
                read = timeout(patience, self.reader.read()) => match read {
                    Ok(Some(bytes)) => {
                        self.sent.extend(bytes);
                        continue;
                    }
                    Ok(None) => HUNG_UP,
                    Err(_) => {
                        is_all = true;
                        continue;
                    }
                },
            };
            return Input::Ended(code);
        }
    }
}

/// A thread that reads stdin, whose descriptor others share and which therefore stays one that blocks. It reads only when
/// it is asked to: what is typed behind the last key is for whoever comes next.
#[derive(Debug)]
struct Reader {
    requests: std::sync::mpsc::Sender<()>,
    chunks: mpsc::Receiver<Vec<u8>>,
    /// Whether it is at it.
    is_asked: bool,
}

impl Reader {
    fn begin() -> Self {
        let (requests, asked) = std::sync::mpsc::channel();
        let (sender, chunks) = mpsc::channel(1);
        std::thread::spawn(move || {
            let mut buffer = [0; 256];
            while asked.recv().is_ok() {
                let count = loop {
                    match rustix::io::read(io::stdin(), &mut buffer) {
                        Err(Errno::INTR) => {}
                        // A terminal that has gone away is at its end, or cannot be read.
                        read => break read.unwrap_or(0),
                    }
                };
                let chunk = buffer.get(..count).unwrap_or_default().to_vec();
                if chunk.is_empty() || sender.blocking_send(chunk).is_err() {
                    return;
                }
            }
        });
        Self { requests, chunks, is_asked: false }
    }

    /// Returns what was sent; `None` at the end. What is not waited for any longer is returned the next time.
    async fn read(&mut self) -> Option<Vec<u8>> {
        if !self.is_asked {
            self.requests.send(()).ok()?;
            self.is_asked = true;
        }
        let chunk = self.chunks.recv().await;
        self.is_asked = false;
        chunk
    }
}

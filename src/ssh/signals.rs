//! Signals that this process gets while a program runs in a guest, as what is to be done about them there.

use std::io;
use std::sync::Weak;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::host::terminal::{self, RawMode};
use crate::ssh::program::Control;

/// How long a command may go on after TERM or HUP before it is left alone.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Whether this process has begun to listen. What has begun is not undone: a signal does not end it by itself any more.
static LISTENED_TO: AtomicBool = AtomicBool::new(false);

/// Tells whether this process does something of its own about signals.
pub fn are_listened_to() -> bool {
    LISTENED_TO.load(Ordering::Relaxed)
}

/// Passes INT, TERM, HUP and QUIT on, and the size of the terminal. A second signal gives up. TERM and HUP, which
/// programs send that do not ask twice, give up by themselves if the command does not end. Listening begins before this
/// returns; it must be called within the runtime.
pub fn pass_on() -> io::Result<mpsc::Receiver<Control>> {
    from_terminal(Weak::new(), None)
}

/// Passes the same on for a program that has a terminal like the one here, which was asked for with these columns and rows:
/// when they are others by now, that is passed on first.
///
/// After the process was stopped and goes on, a terminal that is in raw mode is made so again.
pub fn from_terminal(raw: Weak<RawMode>, asked: Option<(u32, u32)>) -> io::Result<mpsc::Receiver<Control>> {
    let (sender, receiver) = mpsc::channel(8);
    let mut signals = Signals::listen()?;
    let (columns, rows) = terminal::size(io::stdout());
    if asked.is_some_and(|asked| asked != (columns, rows)) {
        // The channel is empty: it has room.
        let _ = sender.try_send(Control::Resize { columns, rows });
    }
    tokio::spawn(async move {
        loop {
            let control = match signals.next().await {
                Event::Resumed => {
                    // The terminal may be gone; then nothing is typed either.
                    let _ = raw.upgrade().map(|raw| raw.again());
                    continue;
                }
                Event::Resized => {
                    let (columns, rows) = terminal::size(io::stdout());
                    Control::Resize { columns, rows }
                }
                Event::Forward(name) => Control::Signal(name.to_owned()),
                Event::GiveUp(number) => Control::GiveUp(128 + number),
            };
            if sender.send(control).await.is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}

/// Returns the exit code of who is ended by a signal, when there is one, from what [`pass_on`] returned.
pub async fn asked_to_end(signals: &mut mpsc::Receiver<Control>) -> u8 {
    loop {
        match signals.recv().await {
            Some(Control::Signal(name)) if name == "INT" => return 130,
            Some(Control::Signal(name)) if name == "HUP" => return 129,
            Some(Control::Signal(name)) if name == "QUIT" => return 131,
            Some(Control::Signal(_)) => return 143,
            Some(Control::GiveUp(code)) => return code,
            Some(Control::Resize { .. }) => {}
            // Nobody listens to signals any more.
            None => std::future::pending().await,
        }
    }
}

/// Begins to listen for INT, TERM and HUP, and returns what waits for the first of them. It must be called within the
/// runtime.
pub fn end() -> io::Result<impl Future<Output = ()>> {
    LISTENED_TO.store(true, Ordering::Relaxed);
    let mut int = signal(SignalKind::interrupt())?;
    let mut term = signal(SignalKind::terminate())?;
    let mut hup = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = int.recv() => {}
            _ = term.recv() => {}
            _ = hup.recv() => {}
        }
    })
}

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
    Forward(&'static str),
    Resized,
    Resumed,
    /// Because of the signal with this number.
    GiveUp(u8),
}

impl Signals {
    fn listen() -> io::Result<Self> {
        LISTENED_TO.store(true, Ordering::Relaxed);
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
        let (name, number, lasting) = tokio::select! {
            _ = self.int.recv() => ("INT", 2, true),
            _ = self.quit.recv() => ("QUIT", 3, true),
            _ = self.term.recv() => ("TERM", 15, false),
            _ = self.hup.recv() => ("HUP", 1, false),
            _ = self.winch.recv() => return Event::Resized,
            _ = self.cont.recv() => return Event::Resumed,
            number = patience => return Event::GiveUp(number),
        };
        let until = (!lasting).then(|| Instant::now() + LAST_WORDS);
        match self.asked.replace((number, until)) {
            None => Event::Forward(name),
            Some(_) => Event::GiveUp(number),
        }
    }
}

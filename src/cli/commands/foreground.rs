//! A VM that runs as long as this command: its console here, and Ctrl-C to stop it.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::cli::commands::creds::{Ending, pass_on};
use crate::cli::commands::start::{may_begin, once_launched};
use crate::cli::config_sync::ConfigSync;
use crate::cli::context::Context;
use crate::cli::each::Job;
use crate::cli::failure::{Failure, RuntimeError};
use crate::host::terminal::RawMode;
use crate::lifecycle::console::{self, Console, Keys};
use crate::lifecycle::event::{Event, Listener};
use crate::lifecycle::start::{How, launch_vm};
use crate::ssh::program::Sink;
use crate::ssh::{signals, stdio};
use crate::ui::console_lines::ConsoleLines;
use crate::ui::filter;
use crate::ui::mode::Mode;
use crate::ui::terminal::Terminal;
use crate::vm::name::VmName;

/// How long the guest may take to power itself off, and to be ready.
const GRACE: Duration = Duration::from_secs(60);
const READY: Duration = Duration::from_secs(300);

/// The exit code of a command that was interrupted: 128 and the number of INT, as the shell has it.
const INTERRUPTED: u8 = 130;

/// How a terminal is left that a guest has drawn on: colours, cursor and modes as they are at first (DECSTR), no marks around
/// what is pasted, no reports of the mouse.
const TIDY: &[u8] = b"\x1b[!p\x1b[?2004l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\r\n";

/// Starts a VM, shows its console and passes keys to it until it has ended. INT, TERM and HUP stop it; a second one does
/// so at once. The exit code is 0 when the guest has powered itself off, by itself or because of the first.
pub fn run(ctx: &Context, name: &VmName, how: How) -> Result<u8, Failure> {
    let ending = Ending::of(std::slice::from_ref(name));
    let code = ctx.block_on(watch(ctx, name, how, &ending))??;
    pass_on(ctx, &ending)?;
    Ok(code)
}

async fn watch(ctx: &Context, name: &VmName, how: How, ending: &Ending) -> Result<u8, Failure> {
    let begun = Instant::now();
    let mut interrupted = Box::pin(signals::end().map_err(RuntimeError)?);
    let ran_before = console::qemu(&ctx.engine, name).is_some();
    let job = |listener| Job { engine: ctx.engine.clone(), name: name.clone(), listener };
    let qemu = {
        // Gone when the console begins: the screen is the guest's.
        let vm = job(ctx.listener(name.as_str()));
        may_begin(&vm, how)?;
        let launch = async {
            launch_vm(&vm.engine, name, how, &vm.listener).await?;
            console::is_there(&vm.engine, name).await
        };
        tokio::select! {
            qemu = launch => qemu?,
            () = &mut interrupted => {
                if !ran_before && console::qemu(&vm.engine, name).is_some() {
                    ending.stop(&vm, Duration::ZERO, true).await?;
                }
                return Ok(INTERRUPTED);
            }
        }
    };
    let mut before = Before::open(ctx, name, ran_before)?;
    let voice = Voice { terminal: ctx.terminal, is_raw: before.raw.is_some() };
    let vm = job(voice.listener());
    let settling = tokio::spawn(settle(job(voice.listener()), begun, voice, ConfigSync::automatic(ctx)));
    let ended = console::ended(&ctx.engine, name, qemu);
    let ended = tokio::select! {
        ended = ended => Some(ended),
        () = &mut interrupted => None,
        () = before.reader_left() => None,
    };
    let code = match ended {
        Some(ended) => ended.map(|()| 0).map_err(Failure::from),
        None => {
            settling.abort();
            stop(voice, &vm, ending).await
        }
    };
    settling.abort();
    before.leave().await;
    if code.is_ok() {
        ctx.terminal.status(&format!("{name}: stopped"));
    }
    code
}

/// Stops the VM; at once when that is asked for again.
async fn stop(voice: Voice, vm: &Job, ending: &Ending) -> Result<u8, Failure> {
    let again = signals::end().map_err(RuntimeError)?;
    voice.say(&format!("{}: stopping; Ctrl-C ends it at once", vm.name));
    tokio::select! {
        stopped = ending.stop(vm, GRACE, false) => return Ok(stopped.map(|()| 0)?),
        () = again => {}
    }
    ending.stop(vm, Duration::ZERO, true).await?;
    Ok(INTERRUPTED)
}

/// Does what is done for a VM whenever it starts: its login, its configuration.
async fn settle(vm: Job, begun: Instant, voice: Voice, config: Option<ConfigSync>) {
    let name = vm.name.clone();
    let said = once_launched(&vm, begun, READY, config).await.unwrap_or_else(|error| error.to_string());
    voice.say(&format!("{name}: {said}"));
}

/// The person before the console.
struct Before {
    /// The terminal, where keys typed on it go to the guest.
    raw: Option<RawMode>,
    /// What shows the console; gone when that has ended.
    screen: Option<JoinHandle<()>>,
    typing: Option<JoinHandle<()>>,
    over: oneshot::Sender<()>,
}

impl Before {
    fn open(ctx: &Context, name: &VmName, ran_before: bool) -> Result<Self, Failure> {
        let (console, keys) = console::open(&ctx.engine, name, !ran_before, ctx.terminal.interactive)?;
        let begun = if ran_before { "runs already" } else { "started" };
        let keys_too = if keys.is_some() { "" } else { ", without keys for it" };
        ctx.terminal.status(&format!(
            "{name}: {begun}, its console follows{keys_too}; Ctrl-C stops it, a second one at once"
        ));
        let raw = keys.is_some().then(RawMode::but_interrupt).transpose().map_err(RuntimeError)?;
        let (over, is_over) = oneshot::channel();
        let screen = Some(tokio::spawn(show(console, raw.is_some(), is_over)));
        let typing = keys.map(|keys| tokio::spawn(pass_keys(keys, stdio::stdin())));
        Ok(Self { raw, screen, typing, over })
    }

    /// Waits until nobody reads what the console says any more.
    async fn reader_left(&mut self) {
        match &mut self.screen {
            Some(screen) => drop(screen.await),
            None => std::future::pending().await,
        }
        self.screen = None;
    }

    /// Shows what is still to be shown, and gives the terminal back.
    async fn leave(self) {
        let _ = self.over.send(());
        if let Some(screen) = self.screen {
            let _ = screen.await;
        }
        self.typing.inspect(JoinHandle::abort);
    }
}

/// Writes what a console says to stdout until it is over. As it is, on a terminal whose keys go there, as `shell` does it:
/// a console is one. Else without what acts on a terminal.
async fn show(mut console: Console, is_raw: bool, mut is_over: oneshot::Receiver<()>) {
    let mut stdout = stdio::output(io::stdout());
    let mut lines = ConsoleLines::default();
    let mut over = false;
    loop {
        let said = if over {
            console.rest()
        } else {
            tokio::select! {
                said = console.more() => said,
                () = stdout.closed() => return,
                _ = &mut is_over => {
                    over = true;
                    continue;
                }
            }
        };
        let Ok(said) = said else { return };
        let last = over && said.is_empty();
        let shown = match (is_raw, last) {
            (true, false) => said,
            (true, true) => TIDY.to_vec(),
            (false, _) => lines.take(&said, last).into_bytes(),
        };
        if !shown.is_empty() && !stdout.write(Bytes::from(shown)).await {
            return;
        }
        if last {
            // A reader that left at the very end has had what it wanted.
            let _ = stdout.finish().await;
            return;
        }
    }
}

/// Passes on what is typed, until nothing more can be.
async fn pass_keys(mut keys: Keys, mut typed: mpsc::Receiver<Bytes>) {
    while let Some(typed) = typed.recv().await {
        if keys.type_in(&typed).await.is_err() {
            return;
        }
    }
}

/// Says something beside a console.
#[derive(Clone, Copy)]
struct Voice {
    terminal: Terminal,
    /// Whether lines have to be ended by hand.
    is_raw: bool,
}

impl Voice {
    /// Says something on a line of its own.
    fn say(self, text: &str) {
        let by_hand = self.is_raw && self.terminal.stderr && self.terminal.mode != Mode::Json;
        let (begin, end) = if by_hand { ("\r\n", "\r") } else { ("", "") };
        self.terminal.filtered(&format!("{begin}{}{end}", filter::one_line(text)));
    }

    /// Returns a listener that tells only what matters.
    fn listener(self) -> Listener {
        Arc::new(move |event| {
            if let Event::Warning(text) = event {
                self.say(&format!("warning: {text}"));
            }
        })
    }
}

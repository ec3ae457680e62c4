//! Runs a program in a guest as if it ran here: with this process's streams, terminal and signals.

use std::io;
use std::sync::Arc;

use crate::host::terminal::{self, RawMode};
use crate::ssh::program::{Streams, TerminalRequest};
use crate::ssh::running::Running;
use crate::ssh::session::SessionError;
use crate::ssh::{signals, stdio};

/// Returns the terminal that a program is to have: like the one here.
pub fn like_ours() -> TerminalRequest {
    let (columns, rows) = terminal::size(io::stdout());
    let is_locale = |name: &str| name == "LANG" || name == "COLORTERM" || name.starts_with("LC_");
    TerminalRequest {
        term: std::env::var("TERM").unwrap_or_else(|_| "xterm".to_owned()),
        columns,
        rows,
        locale: std::env::vars().filter(|(name, _)| is_locale(name)).collect(),
    }
}

/// Carries this process's streams to and from a program and returns its exit code: the guest's own, or 128+N when
/// signal N killed it.
///
/// `terminal` is the one that the program was given; the terminal here is in raw mode meanwhile.
/// INT, TERM, HUP and QUIT are passed on; a second one gives up. TERM and HUP, which programs send that do not ask
/// twice, give up by themselves if the command does not end.
pub async fn attach(running: Running, terminal: Option<&TerminalRequest>) -> Result<u8, SessionError> {
    let raw = if terminal.is_some() && rustix::termios::isatty(io::stdin()) {
        Some(Arc::new(RawMode::enter().map_err(SessionError::Terminal)?))
    } else {
        None
    };
    let shared = raw.as_ref().map(Arc::downgrade).unwrap_or_default();
    let asked = terminal.map(|terminal| (terminal.columns, terminal.rows));
    let control = signals::from_terminal(shared, asked).map_err(SessionError::Terminal)?;
    let streams = Streams {
        stdin: stdio::stdin(),
        stdout: stdio::output(io::stdout()),
        stderr: stdio::output(io::stderr()),
    };
    let code = running.pump(streams, control).await;
    drop(raw);
    code
}

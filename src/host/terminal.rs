//! The terminal of the person at the keyboard, while a guest's shell uses it.

use std::io;
use std::os::fd::AsFd;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// The terminal in raw mode: every key goes to the guest. Dropped, it is as it was before.
#[derive(Debug)]
pub struct RawMode {
    before: Termios,
}

impl RawMode {
    /// Switches the terminal on stdin to raw mode.
    pub fn enter() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mode = Self { before };
        mode.again()?;
        Ok(mode)
    }

    /// Switches to raw mode again, after this process was stopped and somebody else used the terminal.
    pub fn again(&self) -> io::Result<()> {
        let mut raw = self.before.clone();
        raw.make_raw();
        Ok(tcsetattr(io::stdin(), OptionalActions::Now, &raw)?)
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // A terminal that went away needs no mending.
        let _ = tcsetattr(io::stdin(), OptionalActions::Drain, &self.before);
    }
}

/// Returns columns and rows of a terminal; 80 by 24 when it does not tell.
pub fn size(terminal: impl AsFd) -> (u32, u32) {
    match tcgetwinsize(terminal) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        _ => (80, 24),
    }
}

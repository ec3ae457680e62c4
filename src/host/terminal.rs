//! The terminal of the person at the keyboard, while a guest's shell uses it.

use std::io;
use std::os::fd::AsFd;

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr,
};

/// What no key sends: `_POSIX_VDISABLE` of Linux.
const DISABLED: u8 = 0;

/// The terminal in raw mode: every key goes to the guest. Dropped, it is as it was before.
#[derive(Debug)]
pub struct RawMode {
    before: Termios,
    raw: Termios,
}

impl RawMode {
    /// Switches the terminal on stdin to raw mode.
    pub fn enter() -> io::Result<Self> {
        Self::with(|_| {})
    }

    /// The same, except that the key that interrupts, Ctrl-C, is for this process.
    pub fn but_interrupt() -> io::Result<Self> {
        Self::with(|raw| {
            raw.local_modes.insert(LocalModes::ISIG);
            for key in [SpecialCodeIndex::VQUIT, SpecialCodeIndex::VSUSP] {
                raw.special_codes[key] = DISABLED;
            }
        })
    }

    fn with(change: impl FnOnce(&mut Termios)) -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        change(&mut raw);
        let mode = Self { before, raw };
        mode.again()?;
        Ok(mode)
    }

    /// Switches to raw mode again, after this process was stopped and somebody else used the terminal.
    pub fn again(&self) -> io::Result<()> {
        Ok(tcsetattr(io::stdin(), OptionalActions::Now, &self.raw)?)
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

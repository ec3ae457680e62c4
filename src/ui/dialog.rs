//! Menus one after the other, in one place of the terminal.

use std::io;

use super::frame::Frame;
use super::keyboard::{Input, Keyboard};
use super::keys::Key;
use super::menu::{Answer, Menu};
use super::terminal::Terminal;
use crate::host::terminal;

/// Why menus are over before anything was decided.
#[derive(Debug)]
pub enum Left {
    /// By Ctrl-C or a signal; holds the exit code.
    By(u8),
    /// The terminal could not be used.
    Terminal(io::Error),
}

impl From<io::Error> for Left {
    fn from(error: io::Error) -> Self {
        Self::Terminal(error)
    }
}

/// The exit code of who is ended by Ctrl-C.
const INTERRUPTED: u8 = 130;

/// The terminal while menus are open. Dropped, it is as it was before, without the menus.
#[derive(Debug)]
pub struct Dialog {
    frame: Frame,
    keyboard: Keyboard,
}

impl Dialog {
    /// Takes the terminal. It must be called within the runtime.
    pub fn open(terminal: &Terminal) -> io::Result<Self> {
        Ok(Self { frame: Frame::new(terminal.colour), keyboard: Keyboard::open()? })
    }

    /// Opens a menu and waits for the answer.
    pub async fn ask(&mut self, mut menu: Menu<'_>) -> Result<Answer, Left> {
        loop {
            let (columns, rows) = size();
            let (lines, cursor) = menu.lines(columns, rows);
            self.frame.draw(&lines, cursor, columns)?;
            match self.keyboard.next().await {
                Input::Key(Key::Interrupt) => return Err(Left::By(INTERRUPTED)),
                Input::Key(key) => {
                    if let Some(answer) = menu.press(key) {
                        return Ok(answer);
                    }
                }
                Input::Redraw => {}
                Input::Ended(code) => return Err(Left::By(code)),
            }
        }
    }
}

impl Drop for Dialog {
    fn drop(&mut self) {
        // A terminal that went away needs no tidying.
        let _ = self.frame.erase(size().0);
    }
}

fn size() -> (usize, usize) {
    let (columns, rows) = terminal::size(io::stderr());
    (usize::try_from(columns).unwrap_or(80), usize::try_from(rows).unwrap_or(24))
}

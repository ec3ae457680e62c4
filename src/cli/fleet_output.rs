//! Where the output of many VMs goes: line by line under each one's name, kept until the end, or into a JSON object.

use std::fmt::Display;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;

use crate::ssh::program::Sink;
use crate::ui::filter;
use crate::ui::json::Told;
use crate::ui::terminal::Terminal;

/// The longest line that is kept together, in bytes.
const MAX_LINE: usize = 64 * 1024;

/// The colours of names, as parameters of an escape sequence: those that can be read on dark and on light.
const COLOURS: [u8; 6] = [36, 32, 33, 35, 34, 31];

/// Takes one stream of one VM.
pub enum FleetSink {
    /// Line by line, as they come.
    Lines(Lines),
    /// Kept.
    Keep(Keep),
}

/// Passes whole lines on.
pub struct Lines {
    form: Form,
    partial: BytesMut,
    to: mpsc::Sender<Bytes>,
}

/// How a line is passed on.
enum Form {
    /// After this prefix, as it is.
    Raw(String),
    /// The same, with nothing in it but text and colours.
    Shown(String),
    /// As an object of what it is about.
    Object(String),
}

impl Lines {
    /// Passes lines to `to`. Those that reach a terminal have nothing in them but text and colours.
    pub fn new(prefix: String, to: mpsc::Sender<Bytes>, on_terminal: bool) -> Self {
        let form = if on_terminal { Form::Shown(prefix) } else { Form::Raw(prefix) };
        Self { form, partial: BytesMut::new(), to }
    }

    /// Passes on what a command in a VM writes to stderr as objects for programs.
    pub fn told(about: String, to: mpsc::Sender<Bytes>) -> Self {
        Self { form: Form::Object(about), partial: BytesMut::new(), to }
    }

    /// Takes the whole lines out of what has come, each as it is to be shown. A line that is too long is shown in parts.
    fn take_lines(&mut self, all: bool) -> Bytes {
        let mut shown = Vec::new();
        loop {
            let end = self.partial.iter().take(MAX_LINE).position(|byte| *byte == b'\n');
            let line = match end {
                Some(end) => self.partial.split_to(end + 1),
                None if self.partial.len() >= MAX_LINE => self.partial.split_to(MAX_LINE),
                None if all && !self.partial.is_empty() => self.partial.split(),
                None => break,
            };
            let line = line.strip_suffix(b"\n").unwrap_or(&line);
            match &self.form {
                Form::Raw(prefix) => shown.extend([prefix.as_bytes(), line].concat()),
                Form::Shown(prefix) => {
                    let line = filter::coloured_line(&String::from_utf8_lossy(line));
                    shown.extend([prefix.as_bytes(), line.as_bytes()].concat());
                }
                Form::Object(about) => {
                    let message = String::from_utf8_lossy(line).into_owned();
                    shown.extend(Told::Stderr { about, message }.line().into_bytes());
                }
            }
            shown.push(b'\n');
        }
        shown.into()
    }

    async fn pass_on(&mut self, all: bool) -> bool {
        let shown = self.take_lines(all);
        shown.is_empty() || self.to.send(shown).await.is_ok()
    }
}

/// Keeps a stream up to a limit.
#[derive(Clone)]
pub struct Keep {
    kept: Arc<Mutex<Kept>>,
    limit: usize,
}

/// What was kept of a stream.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// Its beginning.
    pub bytes: Vec<u8>,
    /// Whether there was more.
    pub truncated: bool,
}

impl Keep {
    /// Keeps the first `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { kept: Arc::default(), limit }
    }

    /// Returns what has been kept.
    pub fn take(&self) -> Kept {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for FleetSink {
    async fn write(&mut self, chunk: Bytes) -> bool {
        match self {
            Self::Lines(lines) => {
                lines.partial.extend_from_slice(&chunk);
                lines.pass_on(false).await
            }
            Self::Keep(keep) => {
                let mut kept = keep.lock();
                let room = keep.limit.saturating_sub(kept.bytes.len());
                kept.truncated |= chunk.len() > room;
                kept.bytes.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
                true
            }
        }
    }

    async fn finish(self) -> io::Result<()> {
        match self {
            Self::Lines(mut lines) => {
                if lines.pass_on(true).await {
                    Ok(())
                } else {
                    Err(io::ErrorKind::BrokenPipe.into())
                }
            }
            Self::Keep(_) => Ok(()),
        }
    }
}

/// Makes what stands before the lines of each VM, or of one of several in it: its name, as wide as the longest, in a colour of its own.
pub fn prefixes(names: &[impl Display], terminal: &Terminal) -> Vec<String> {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let width = names.iter().map(String::len).max().unwrap_or_default();
    let colours = COLOURS.iter().cycle();
    let prefix = |(name, colour): (&String, &u8)| match terminal.colour {
        true => format!("\u{1b}[{colour}m{name:width$} |\u{1b}[0m "),
        false => format!("{name:width$} | "),
    };
    names.iter().zip(colours).map(prefix).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(on_terminal: bool) -> Lines {
        Lines::new("a | ".to_owned(), mpsc::channel(1).0, on_terminal)
    }

    fn fed(mut lines: Lines, chunks: &[&[u8]]) -> String {
        let mut shown = Vec::new();
        for chunk in chunks {
            lines.partial.extend_from_slice(chunk);
            shown.extend_from_slice(&lines.take_lines(false));
        }
        shown.extend_from_slice(&lines.take_lines(true));
        String::from_utf8(shown).unwrap()
    }

    #[test]
    fn lines_stay_whole_however_they_come() {
        assert_eq!(fed(lines(false), &[b"on", b"e\ntw", b"o\n\nend"]), "a | one\na | two\na | \na | end\n");
        let long = [b'x'; MAX_LINE + 10];
        assert_eq!(fed(lines(false), &[&long]).lines().count(), 2);
    }

    #[test]
    fn a_terminal_gets_text_and_colours_only() {
        let hostile: &[u8] = b"\x1b]52;c;eA==\x07\x1b[2J\x1b[31mred\x1b[6n\r\n";
        assert_eq!(fed(lines(true), &[hostile]), "a | \u{1b}[31mred\u{1b}[0m\n");
        assert_eq!(fed(lines(false), &[hostile]).as_bytes(), [b"a | ", hostile].concat());
    }
}

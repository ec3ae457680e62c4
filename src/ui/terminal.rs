//! The three standard streams: which are terminals, how wide, in colour or not. The only place that prints.

use std::io::{self, IsTerminal, Write};

use crate::diagnostic::Diagnostic;

/// How this process may talk to the person who started it.
#[derive(Clone, Copy, Debug)]
pub struct Terminal {
    /// Whether stdin and stdout are both terminals.
    pub interactive: bool,
    /// Whether nothing may be asked, whoever is there.
    pub no_input: bool,
    /// Whether stdout is a terminal.
    pub stdout: bool,
    /// Whether stderr is a terminal.
    pub stderr: bool,
    /// Whether lines can be drawn anew on stderr: a terminal that is not `dumb`.
    pub draws: bool,
    /// Whether colours may be used: a terminal and no `NO_COLOR`.
    pub colour: bool,
    /// Columns of the terminal on stdout; `None` when it is none.
    pub width: Option<u16>,
}

impl Terminal {
    /// Looks at the standard streams.
    pub fn detect() -> Self {
        let stdout = io::stdout().is_terminal();
        let stderr = io::stderr().is_terminal();
        // https://no-color.org: set and not empty switches colour off, whatever the value.
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|value| value.is_empty() || value == "dumb");
        let size = rustix::termios::tcgetwinsize(io::stdout()).ok();
        Self {
            interactive: stdout && io::stdin().is_terminal(),
            no_input: false,
            stdout,
            stderr,
            draws: stderr && !dumb,
            colour: stdout && !no_colour && !dumb,
            width: size.filter(|_| stdout).map(|size| size.ws_col).filter(|columns| *columns > 0),
        }
    }

    /// Tells whether somebody is there who may be asked.
    pub const fn asks(&self) -> bool {
        self.interactive && !self.no_input
    }

    /// Writes data to stdout. A reader that went away is the caller's to report, quietly.
    pub fn data(&self, text: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        stdout.flush()
    }

    /// Writes a line of status to stderr, or several. Nothing in it acts on the terminal, wherever it comes from.
    pub fn status(&self, text: &str) {
        self.filtered(&super::filter::lines(text));
    }

    /// The same for what has been filtered already, and may have colours.
    pub fn filtered(&self, text: &str) {
        // Nobody is left to be told when stderr is closed.
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// Writes a warning to stderr.
    pub fn warn(&self, text: &str) {
        self.status(&format!("warning: {text}"));
    }

    /// Writes an error with its causes and hints to stderr; `about` names the VM when there are several.
    pub fn error(&self, error: &dyn Diagnostic, about: Option<&str>) {
        let about = about.map(|name| format!("{name}: ")).unwrap_or_default();
        let mut text = format!("error: {about}{error}");
        let mut cause = error.source();
        while let Some(source) = cause {
            text.push_str(&format!("\n  caused by: {source}"));
            cause = source.source();
        }
        for hint in error.hints() {
            text.push_str(&format!("\n  hint: {hint}"));
        }
        self.status(&text);
    }
}

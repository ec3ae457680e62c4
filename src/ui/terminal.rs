//! The three standard streams: which are terminals, how wide, in colour or not. The only place that prints.

use std::io::{self, IsTerminal, Write};

use crate::diagnostic::{Diagnostic, Kind};
use crate::ui::filter;
use crate::ui::json::Told;
use crate::ui::mode::{Choice, Mode};

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
    /// How it is shown how things are getting on.
    pub mode: Mode,
}

impl Terminal {
    /// Looks at the standard streams. `choice` is what somebody wants to see of how things are getting on.
    pub fn detect(choice: Choice) -> Self {
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
            // What indicatif draws on.
            mode: choice.mode(stderr && !dumb),
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
        let text = filter::lines(text);
        match self.mode {
            Mode::Json => self.told(Told::Note { about: None, message: text }),
            _ => self.write(&text),
        }
    }

    /// Writes something worth knowing about one thing.
    pub fn note_of(&self, about: &str, text: &str) {
        match self.mode {
            Mode::Json => self.told(Told::Note { about: Some(about), message: filter::lines(text) }),
            _ => self.status(&format!("{about}: {text}")),
        }
    }

    /// The same for what has been filtered already, and may have colours.
    pub fn filtered(&self, text: &str) {
        match self.mode {
            Mode::Json => self.status(text),
            _ => self.write(text),
        }
    }

    /// Writes that something went as it should; not where nobody wants to know how things are getting on.
    pub fn news(&self, text: &str) {
        if self.mode != Mode::Silent {
            self.status(text);
        }
    }

    /// Writes that the work on one thing went as it should, and what came of it.
    pub fn done(&self, about: &str, text: &str) {
        match self.mode {
            Mode::Json => self.end(about, "ok", text),
            _ => self.news(&format!("{about}: {text}")),
        }
    }

    /// Writes how the work on one thing ended, for programs; people are told by what is said about it.
    pub fn end(&self, about: &str, result: &'static str, text: &str) {
        if self.mode == Mode::Json {
            self.told(Told::End { about, result, message: filter::lines(text) });
        }
    }

    /// Writes how the whole command ended, for programs; people and shells have the exit code.
    pub fn exit(&self, exit: u8) {
        if self.mode == Mode::Json {
            self.told(Told::Exit { result: if exit == 0 { "ok" } else { "failed" }, exit });
        }
    }

    /// Writes an object for programs.
    pub fn told(&self, told: Told<'_>) {
        self.write(&told.line());
    }

    fn write(&self, text: &str) {
        // Nobody is left to be told when stderr is closed.
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// Writes a warning to stderr.
    pub fn warn(&self, text: &str) {
        self.warn_of(None, text);
    }

    /// Writes a warning about one thing.
    pub fn warn_of(&self, about: Option<&str>, text: &str) {
        match (self.mode, about) {
            (Mode::Json, _) => self.told(Told::Warning { about, message: filter::lines(text) }),
            (_, Some(about)) => self.status(&format!("warning: {about}: {text}")),
            (_, None) => self.status(&format!("warning: {text}")),
        }
    }

    /// Writes what went wrong with a part of something, such as one of many files.
    pub fn problem(&self, about: Option<&str>, text: &str) {
        let message = filter::lines(text);
        match (self.mode, about) {
            (Mode::Json, _) => {
                let (causes, hints) = (Vec::new(), Vec::new());
                self.told(Told::Error { about, code: Kind::Failed.code(), message, causes, hints });
            }
            (_, Some(about)) => self.write(&format!("error: {about}: {message}")),
            (_, None) => self.write(&format!("error: {message}")),
        }
    }

    /// Writes an error with its causes and hints to stderr; `about` names the VM when there are several.
    pub fn error(&self, error: &dyn Diagnostic, about: Option<&str>) {
        if self.mode == Mode::Json {
            return self.told(Told::error(error, about));
        }
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

//! What is going on right now: a live line on a terminal, plain lines elsewhere.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::filter;
use super::terminal::Terminal;

/// Shows the steps of one or several operations that run side by side.
#[derive(Clone, Debug)]
pub struct Progress {
    live: Option<MultiProgress>,
    terminal: Terminal,
}

/// The line of a copy: bytes and rate.
#[derive(Clone, Debug)]
pub struct Meter {
    bar: Option<ProgressBar>,
    terminal: Terminal,
}

/// Shows a number of bytes as the line of a copy does.
pub fn size(bytes: u64) -> impl std::fmt::Display {
    indicatif::HumanBytes(bytes)
}

impl Meter {
    /// Says how many bytes have passed.
    pub fn set(&self, bytes: u64) {
        if let Some(bar) = self.bar.as_ref().filter(|_| bytes > 0) {
            bar.set_position(bytes);
            bar.tick();
        }
    }

    /// Says something that stays on the screen.
    pub fn note(&self, text: &str) {
        let text = filter::one_line(text);
        match &self.bar {
            Some(bar) => bar.suspend(|| self.terminal.status(&text)),
            None => self.terminal.status(&text),
        }
    }

    /// Takes the line away.
    pub fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// The line of one operation. Dropped, the live line goes away.
#[derive(Debug)]
pub struct Line {
    bar: Option<ProgressBar>,
    about: String,
    terminal: Terminal,
    shown: Option<String>,
}

impl Progress {
    /// Shows a live display where stderr is a terminal.
    pub fn new(terminal: Terminal) -> Self {
        Self { live: terminal.stderr.then(MultiProgress::new), terminal }
    }

    /// Writes to the terminal where the live display is not.
    pub fn beside(&self, write: impl FnOnce(&Terminal)) {
        match &self.live {
            Some(live) => live.suspend(|| write(&self.terminal)),
            None => write(&self.terminal),
        }
    }

    /// Adds a line for a copy, which shows with its first byte. There is none when it is to be quiet.
    pub fn meter(&self, quiet: bool) -> Meter {
        let bar = self.live.as_ref().filter(|_| !quiet).map(|live| {
            let bar = live.add(ProgressBar::no_length());
            let style =
                ProgressStyle::with_template("{spinner} copying: {bytes}, {bytes_per_sec}, {elapsed}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar
        });
        Meter { bar, terminal: self.terminal }
    }

    /// Adds a line for an operation on `about`, usually the name of a VM. It shows with its first step: what is done
    /// at once needs none.
    pub fn line(&self, about: &str) -> Line {
        let bar = self.live.as_ref().map(|live| {
            let bar = live.add(ProgressBar::new_spinner());
            let style = ProgressStyle::with_template("{spinner} {prefix}: {wide_msg} {elapsed}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.set_prefix(about.to_owned());
            bar
        });
        Line { bar, about: about.to_owned(), terminal: self.terminal, shown: None }
    }
}

impl Line {
    /// Says which step is under way. Elsewhere than on a terminal, a new step is one line.
    pub fn step(&mut self, step: &str) {
        let step = filter::one_line(step);
        match &self.bar {
            Some(bar) => {
                bar.set_message(step);
                bar.enable_steady_tick(Duration::from_millis(120));
            }
            None if self.shown.as_deref() != Some(&step) => {
                self.terminal.status(&format!("{}: {step}", self.about));
                self.shown = Some(step);
            }
            None => {}
        }
    }

    /// Adds a passing detail to the live line of a step, such as the guest's last console line; nothing elsewhere.
    pub fn detail(&self, step: &str, detail: &str) {
        if let Some(bar) = self.bar.as_ref().filter(|_| !step.is_empty()) {
            bar.set_message(filter::one_line(&format!("{step}  {detail}")));
        }
    }

    /// Says something that stays on the screen.
    pub fn note(&self, text: &str) {
        let text = format!("{}: {}", self.about, filter::one_line(text));
        match &self.bar {
            Some(bar) => bar.suspend(|| self.terminal.status(&text)),
            None => self.terminal.status(&text),
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

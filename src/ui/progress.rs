//! What is going on right now: a live line on a terminal, plain lines elsewhere, objects for programs.

use std::fmt::Write;
use std::io;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressState, ProgressStyle};

use super::interrupt;
use super::json::{Amount, Told};
use super::mode::Mode;
use super::terminal::Terminal;
use super::{filter, left};

/// How often a live line is drawn anew.
const TICK: Duration = Duration::from_millis(120);

/// How often programs are told how far a step is.
const TOLD: Duration = Duration::from_secs(1);

/// On a terminal of fewer columns a step is told in short.
const NARROW: u16 = 60;

/// How long something has to be under way before its speed says how long it will take.
const WARM: Duration = Duration::from_secs(2);

/// Shows the steps of one or several operations that run side by side.
#[derive(Clone, Debug)]
pub struct Progress {
    live: Option<MultiProgress>,
    /// Whether a signal takes live lines away.
    armed: Arc<Once>,
    terminal: Terminal,
}

/// Shows a number of bytes as the line of a copy does.
pub fn size(bytes: u64) -> impl std::fmt::Display {
    HumanBytes(bytes)
}

/// A stream beside the live display.
struct Beside<W> {
    progress: Progress,
    stream: W,
}

impl<W: io::Write> io::Write for Beside<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Self { progress, stream } = self;
        // Flushed, because the live display comes back behind it.
        progress.beside(|_| stream.write_all(bytes).and_then(|()| stream.flush())).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// The line of one operation. Dropped, the live line goes away.
#[derive(Debug)]
pub struct Line {
    progress: Progress,
    /// Counts, and draws where there is a live display.
    bar: ProgressBar,
    about: String,
    step: String,
    /// Since when that is under way.
    since: Instant,
    detail: Option<String>,
    amount: Option<Amount>,
    /// When it will be over, about, where that can be told.
    over: Arc<Mutex<Option<Instant>>>,
    /// When programs were told how far it is.
    told: Option<Instant>,
}

impl Progress {
    /// Shows what the terminal's mode says.
    pub fn new(terminal: Terminal) -> Self {
        let live = (terminal.mode == Mode::Live).then(MultiProgress::new);
        Self { live, armed: Arc::new(Once::new()), terminal }
    }

    /// Writes to the terminal where the live display is not.
    pub fn beside<T>(&self, write: impl FnOnce(&Terminal) -> T) -> T {
        match &self.live {
            Some(live) => live.suspend(|| write(&self.terminal)),
            None => write(&self.terminal),
        }
    }

    /// Returns what writes to a stream that is the same terminal, where the live display is not. It is given whole lines.
    pub fn writer(&self, stream: impl io::Write + Send + 'static) -> impl io::Write + Send + 'static {
        Beside { progress: self.clone(), stream }
    }

    /// Adds a line for an operation on `about`, usually the name of a VM. It shows with its first step: what is done
    /// at once needs none.
    pub fn line(&self, about: &str) -> Line {
        let begun = Instant::now();
        let over = Arc::<Mutex<Option<Instant>>>::default();
        let bar = match &self.live {
            None => ProgressBar::hidden(),
            Some(live) => {
                let bar = live.add(ProgressBar::no_length());
                // All but a few columns can be cut off, so that no line is wider than the terminal.
                let style = ProgressStyle::with_template("{spinner} {wide_msg} {time}");
                let ends = Arc::clone(&over);
                let time = move |_: &ProgressState, to: &mut dyn Write| {
                    let left = left_until(&ends).map(left::about);
                    // A String takes everything.
                    let _ = to.write_str(&left.unwrap_or_else(|| left::so_far(begun.elapsed())));
                };
                bar.set_style(
                    style.unwrap_or_else(|_| ProgressStyle::default_spinner()).with_key("time", time),
                );
                bar
            }
        };
        Line {
            progress: self.clone(),
            bar,
            about: about.to_owned(),
            step: String::new(),
            since: begun,
            detail: None,
            amount: None,
            over,
            told: None,
        }
    }
}

impl Line {
    /// Says which step is under way.
    pub fn step(&mut self, step: &str) {
        self.enter(step, Mode::Log);
    }

    /// Says the same of a step that is over in a moment as a rule, for which a log has no line.
    pub fn passing(&mut self, step: &str) {
        self.enter(step, Mode::Plain);
    }

    fn enter(&mut self, step: &str, least: Mode) {
        let step = filter::one_line(step);
        if step == self.step {
            return;
        }
        if self.amount.is_some() {
            self.bar.unset_length();
            self.bar.reset_eta();
        }
        (self.step, self.since, self.detail, self.amount) = (step, Instant::now(), None, None);
        self.set_over(None);
        let terminal = &self.progress.terminal;
        match terminal.mode {
            Mode::Live => self.draw(),
            Mode::Plain => terminal.status(&format!("{}: {}", self.about, self.step)),
            Mode::Log if least == Mode::Log => terminal.status(&format!("{}: {}", self.about, self.step)),
            Mode::Json => terminal.told(Told::Step { about: &self.about, step: &self.step }),
            Mode::Log | Mode::Silent => {}
        }
    }

    /// Adds a passing detail to a step, such as the guest's last console line.
    pub fn detail(&mut self, detail: &str) {
        let detail = Some(filter::one_line(detail));
        if detail != self.detail && !self.step.is_empty() {
            self.detail = detail;
            self.refresh();
        }
    }

    /// Says how many bytes are done, and of how many.
    pub fn bytes(&mut self, done: u64, total: Option<u64>) {
        let amount = Amount { done: total.map_or(done, |total| done.min(total)), total, unit: "bytes" };
        if self.step.is_empty() {
            return;
        }
        // Also where nothing more has come: then it becomes slower.
        self.amount = Some(amount);
        if let Some(total) = total {
            self.bar.set_length(total);
        }
        self.bar.set_position(amount.done);
        let speaks = total.is_some_and(|total| amount.done < total) && self.since.elapsed() >= WARM;
        let eta = Some(self.bar.eta()).filter(|eta| speaks && !eta.is_zero());
        self.set_over(eta.and_then(|eta| Instant::now().checked_add(eta)));
        self.refresh();
    }

    /// Says how long it will still take, going by what it took before.
    pub fn estimate(&mut self, left: Duration) {
        self.set_over(Instant::now().checked_add(left));
        self.told = None;
        self.refresh();
    }

    /// Says something that stays on the screen.
    pub fn note(&self, text: &str) {
        self.progress.beside(|terminal| terminal.note_of(&self.about, &filter::one_line(text)));
    }

    /// Says what is not as good as it could be.
    pub fn warn(&self, text: &str) {
        let message = filter::one_line(text);
        self.progress.beside(|terminal| match terminal.mode {
            Mode::Json => terminal.warn_of(Some(&self.about), &message),
            _ => terminal.status(&format!("{}: warning: {message}", self.about)),
        });
    }

    fn set_over(&self, over: Option<Instant>) {
        *self.over.lock().unwrap_or_else(PoisonError::into_inner) = over;
    }

    /// Shows what has changed of a step.
    fn refresh(&mut self) {
        match self.progress.terminal.mode {
            Mode::Live => self.draw(),
            Mode::Json if self.told.is_none_or(|told| told.elapsed() >= TOLD) => {
                self.told = Some(Instant::now());
                self.progress.terminal.told(Told::Progress {
                    about: &self.about,
                    step: &self.step,
                    detail: self.detail.as_deref(),
                    amount: self.amount,
                    eta: left_until(&self.over).map(|left| left.as_secs_f64().ceil() as u64),
                });
            }
            Mode::Json | Mode::Log | Mode::Plain | Mode::Silent => {}
        }
    }

    fn draw(&self) {
        // `making the image: unpacking`: where there is little room, the end of it says more.
        let step = match self.progress.terminal.width.is_some_and(|columns| columns < NARROW) {
            true => self.step.rsplit(": ").next().unwrap_or_default(),
            false => &self.step,
        };
        let mut text = format!("{}: {step}", self.about);
        let rate = || HumanBytes(self.bar.per_sec() as u64);
        // A String takes everything. What matters most comes first: the end is cut off where there is no room.
        let _ = match self.amount {
            Some(Amount { done, total: Some(total), .. }) if total > 0 => {
                let percent = u128::from(done) * 100 / u128::from(total);
                let (done, total) = (HumanBytes(done), HumanBytes(total));
                write!(text, " {percent}%, {}/s, {done} of {total}", rate())
            }
            Some(Amount { done, .. }) => write!(text, " {}, {}/s", HumanBytes(done), rate()),
            None => Ok(()),
        };
        if let Some(detail) = &self.detail {
            let _ = write!(text, "  {detail}");
        }
        if let Some(live) = &self.progress.live {
            self.progress.armed.call_once(|| interrupt::clear_at_end(live));
        }
        let is_new = self.bar.message().is_empty();
        self.bar.set_message(text);
        if is_new {
            self.bar.enable_steady_tick(TICK);
        }
    }
}

/// Returns how long it is until then; `None` when that is not known, or has passed.
fn left_until(over: &Mutex<Option<Instant>>) -> Option<Duration> {
    let over = *over.lock().unwrap_or_else(PoisonError::into_inner);
    over.map(|over| over.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
}

impl Drop for Line {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

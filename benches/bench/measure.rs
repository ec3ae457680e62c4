//! Whole commands by turns: wall time, processor time and memory, as the kernel counts them.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What one run cost.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    wall: Duration,
    /// Of the command and all its children, and of what works for it in the background.
    cpu: Duration,
    /// The most memory of the command, of one of its children, or of what works for it in the background, in KiB.
    peak: u64,
}

/// A process that works for a command without being its child.
pub trait Background {
    /// The processor time that it has used so far.
    fn cpu(&self) -> Duration;
    /// The most memory that it has used so far, in KiB.
    fn peak(&self) -> u64;
}

/// A command that takes turns with another.
pub struct Contender<'a> {
    /// What it is called.
    pub name: &'a str,
    /// The command.
    pub command: Command,
    /// What works for it besides.
    pub background: Option<&'a dyn Background>,
    /// Makes everything ready before each run.
    pub before: &'a dyn Fn(),
}

impl<'a> Contender<'a> {
    /// A command that needs nothing to be made ready.
    pub fn new(name: &'a str, command: Command) -> Self {
        Self { name, command, background: None, before: &|| {} }
    }

    /// The same with something that works for it.
    pub fn with(self, background: Option<&'a dyn Background>) -> Self {
        Self { background, ..self }
    }

    /// The same with something that is to be done before each run.
    pub fn after(self, before: &'a dyn Fn()) -> Self {
        Self { before, ..self }
    }
}

/// Tells whether a program is there; says so when not.
pub fn installed(program: &str) -> bool {
    let there =
        Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !there {
        println!("{program} is not installed");
    }
    there
}

/// Runs two commands by turns, each once before the first turn, and prints what they cost in the median. The ratio of
/// wall times is the median of those of the turns, so that what slows the machine down for a while slows both.
pub fn compare(what: &str, rounds: usize, ours: &Contender<'_>, theirs: &Contender<'_>, goal: &str) {
    run(ours);
    run(theirs);
    let turns: Vec<(Cost, Cost)> = (0..rounds).map(|_| (run(ours), run(theirs))).collect();
    let mut ratios: Vec<f64> =
        turns.iter().map(|(ours, theirs)| ours.wall.as_secs_f64() / theirs.wall.as_secs_f64()).collect();
    ratios.sort_by(f64::total_cmp);
    let costs: (Vec<Cost>, Vec<Cost>) = turns.into_iter().unzip();
    let (us, them) = (median(&costs.0), median(&costs.1));
    println!(
        "{what:<14} {:<20} {}   {:<20} {}   ratio {:.2}x, cpu {:.2}x   (goal {goal})",
        ours.name,
        us.shown(),
        theirs.name,
        them.shown(),
        ratios[ratios.len() / 2],
        us.cpu.as_secs_f64() / them.cpu.as_secs_f64().max(1e-3),
    );
}

impl Cost {
    fn shown(&self) -> String {
        let millis = |time: Duration| time.as_secs_f64() * 1e3;
        let peak = self.peak as f64 / 1024.0;
        format!("{:8.1} ms {:8.1} ms cpu {peak:6.1} MiB", millis(self.wall), millis(self.cpu))
    }

    /// The most memory, in MiB.
    pub fn peak_mib(&self) -> f64 {
        self.peak as f64 / 1024.0
    }
}

/// Runs a command twice, which has to succeed: once alone for its wall time, and once under GNU time for the rest. The
/// kernel's own account of children also has what ran before.
pub fn run(contender: &Contender<'_>) -> Cost {
    let Contender { command, background, before, .. } = contender;
    let mut alone = Command::new(command.get_program());
    alone.args(command.get_args());
    before();
    let wall = take(alone, command);
    let report = tempfile::NamedTempFile::new().unwrap();
    let mut counted = Command::new("/usr/bin/time");
    counted.args(["-f", "%U %S %M", "-o"]).arg(report.path());
    counted.arg(command.get_program()).args(command.get_args());
    before();
    let cpu_before = background.map(Background::cpu).unwrap_or_default();
    take(counted, command);
    let in_background = background.map(Background::cpu).unwrap_or_default().saturating_sub(cpu_before);
    let text = std::fs::read_to_string(report.path()).unwrap();
    let fields: Vec<f64> = text.split_whitespace().map(|field| field.parse().unwrap()).collect();
    let cpu = Duration::from_secs_f64(fields[0] + fields[1]) + in_background;
    let peak = (fields[2] as u64).max(background.map(Background::peak).unwrap_or_default());
    Cost { wall, cpu, peak }
}

/// Runs a command with the environment of another and returns how long it took.
fn take(mut command: Command, like: &Command) -> Duration {
    for (key, value) in like.get_envs() {
        match value {
            Some(value) => command.env(key, value),
            None => command.env_remove(key),
        };
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let begun = Instant::now();
    let ended = command.output().unwrap();
    let wall = begun.elapsed();
    assert!(ended.status.success(), "{command:?}: {}", String::from_utf8_lossy(&ended.stderr));
    wall
}

/// The medians of each.
fn median(all: &[Cost]) -> Cost {
    fn middle<T: Ord + Copy>(all: impl Iterator<Item = T>) -> T {
        let mut all: Vec<T> = all.collect();
        all.sort_unstable();
        all[all.len() / 2]
    }
    Cost {
        wall: middle(all.iter().map(|cost| cost.wall)),
        cpu: middle(all.iter().map(|cost| cost.cpu)),
        peak: middle(all.iter().map(|cost| cost.peak)),
    }
}

//! Whole commands by turns: wall time, processor time and memory, as the kernel counts them.

use std::io::{Read, Seek};
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

/// A command that takes turns with others.
pub struct Contender<'a> {
    name: &'a str,
    command: Command,
    background: Option<&'a dyn Background>,
    before: &'a dyn Fn(),
    goal: &'a str,
}

impl<'a> Contender<'a> {
    /// A command that needs nothing to be made ready.
    pub fn new(name: &'a str, command: Command) -> Self {
        Self { name, command, background: None, before: &|| {}, goal: "-" }
    }

    /// The same with something that works for it.
    pub fn with(self, background: Option<&'a dyn Background>) -> Self {
        Self { background, ..self }
    }

    /// The same with something that is to be done before each run.
    pub fn after(self, before: &'a dyn Fn()) -> Self {
        Self { before, ..self }
    }

    /// The same with the most that its ratio should be.
    pub fn aiming_at(self, goal: &'a str) -> Self {
        Self { goal, ..self }
    }

    /// Runs the command, which has to succeed. (The kernel's own account of children also has what ran before.)
    pub fn run(&self, runs: Runs) -> Cost {
        let Self { command, background, before, .. } = self;
        let mut wall = None;
        if let Runs::Short = runs {
            let mut alone = Command::new(command.get_program());
            alone.args(command.get_args());
            before();
            wall = Some(take(alone, command));
        }
        let report = tempfile::NamedTempFile::new().unwrap();
        let mut counted = Command::new("/usr/bin/time");
        counted.args(["-f", "%U %S %M", "-o"]).arg(report.path());
        counted.arg(command.get_program()).args(command.get_args());
        before();
        let cpu_before = background.map(Background::cpu).unwrap_or_default();
        let counted = take(counted, command);
        let in_background = background.map(Background::cpu).unwrap_or_default().saturating_sub(cpu_before);
        let text = std::fs::read_to_string(report.path()).unwrap();
        let fields: Vec<f64> = text.split_whitespace().map(|field| field.parse().unwrap()).collect();
        let cpu = Duration::from_secs_f64(fields[0] + fields[1]) + in_background;
        let peak = (fields[2] as u64).max(background.map(Background::peak).unwrap_or_default());
        Cost { wall: wall.unwrap_or(counted), cpu, peak }
    }
}

/// How a command is measured.
#[derive(Clone, Copy, Debug)]
pub enum Runs {
    /// Each twice a round: alone for the wall time, which is short, and under GNU time for the rest. Once before the first
    /// round.
    Short,
    /// Each once a round, under GNU time, whose millisecond does not matter; each round is told as it comes.
    Long,
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

/// Runs commands by turns and prints what they cost in the median. The ratio of the wall times of one of ours is the
/// median of those of the rounds, so that what slows the machine down for a while slows both.
pub fn compare(what: &str, rounds: usize, runs: Runs, ours: &[Contender], theirs: &Contender) {
    let all: Vec<&Contender> = ours.iter().chain([theirs]).collect();
    let mut costs = vec![Vec::new(); all.len()];
    if let Runs::Short = runs {
        for one in &all {
            one.run(runs);
        }
    }
    for round in 1..=rounds {
        for (one, costs) in all.iter().zip(&mut costs) {
            let cost = one.run(runs);
            if let Runs::Long = runs {
                println!("  round {round}: {:<20} {:8.1} ms", one.name, millis(cost.wall));
            }
            costs.push(cost);
        }
    }
    let floor = &costs[ours.len()];
    for (one, costs) in ours.iter().zip(&costs) {
        let mut ratios: Vec<f64> = costs.iter().zip(floor).map(|(cost, floor)| cost.over(floor)).collect();
        ratios.sort_by(f64::total_cmp);
        let (cost, floor) = (median(costs), median(floor));
        println!(
            "{what:<14} {:<20} {}   {:<20} {}   ratio {:.2}x, cpu {:.2}x   (goal {})",
            one.name,
            cost.shown(),
            theirs.name,
            floor.shown(),
            ratios[ratios.len() / 2],
            cost.cpu.as_secs_f64() / floor.cpu.as_secs_f64().max(1e-3),
            one.goal,
        );
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

impl Cost {
    fn over(&self, other: &Self) -> f64 {
        self.wall.as_secs_f64() / other.wall.as_secs_f64()
    }

    fn shown(&self) -> String {
        let (wall, cpu) = (millis(self.wall), millis(self.cpu));
        format!("{wall:8.1} ms {cpu:8.1} ms cpu {:6.1} MiB", self.peak_mib())
    }

    /// The most memory, in MiB.
    pub fn peak_mib(&self) -> f64 {
        self.peak as f64 / 1024.0
    }
}

/// Runs a command with the environment of another and returns how long it took.
fn take(mut command: Command, like: &Command) -> Duration {
    for (key, value) in like.get_envs() {
        match value {
            Some(value) => command.env(key, value),
            None => command.env_remove(key),
        };
    }
    // A file, because a pipe has to be read meanwhile, on the processors that the commands need.
    let mut said = tempfile::tempfile().unwrap();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said.try_clone().unwrap());
    let begun = Instant::now();
    let ended = command.status().unwrap();
    let wall = begun.elapsed();
    if !ended.success() {
        let mut text = String::new();
        said.rewind().unwrap();
        said.read_to_string(&mut text).unwrap();
        panic!("{command:?}: {text}");
    }
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

//! Whole commands by turns: wall time, processor time and memory, as the kernel counts them.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What one run cost.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    wall: Duration,
    /// Of the command and all its children, and of what works for it in the background.
    cpu: Duration,
    /// The most memory of the command or of one of its children, in KiB.
    peak: u64,
}

/// A process that works for a command without being its child.
pub trait Background {
    /// The processor time that it has used so far.
    fn cpu(&self) -> Duration;
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

/// What takes part in a comparison.
pub struct Contender<'a> {
    /// What it is called.
    pub name: &'static str,
    /// What is run.
    pub command: Command,
    /// What works for it besides.
    pub background: Option<&'a dyn Background>,
    /// The most that its ratio should be; `-` where there is no goal, or where it is what others are compared with.
    pub goal: &'static str,
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

/// Runs commands by turns and prints what they cost, and the ratio of each of ours to the other.
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
    let medians: Vec<Cost> = costs.iter().map(|costs| median(costs)).collect();
    let floor = medians[ours.len()];
    for (one, cost) in ours.iter().zip(&medians) {
        println!(
            "{what:<5} {:<20} {}   {:<20} {}   ratio {:.2}x, cpu {:.2}x   (goal {})",
            one.name,
            cost.shown(),
            theirs.name,
            floor.shown(),
            cost.wall.as_secs_f64() / floor.wall.as_secs_f64(),
            cost.cpu.as_secs_f64() / floor.cpu.as_secs_f64().max(1e-3),
            one.goal,
        );
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

impl Cost {
    fn shown(&self) -> String {
        let Self { wall, cpu, peak } = self;
        format!("{:8.1} ms {:8.1} ms cpu {:6.1} MiB", millis(*wall), millis(*cpu), *peak as f64 / 1024.0)
    }
}

impl Contender<'_> {
    /// Runs the command, which has to succeed. (The kernel's own account of children also has what ran before.)
    fn run(&self, runs: Runs) -> Cost {
        let Self { command, background, .. } = self;
        let mut wall = None;
        if let Runs::Short = runs {
            let mut alone = Command::new(command.get_program());
            alone.args(command.get_args());
            wall = Some(take(alone, command));
        }
        let report = tempfile::NamedTempFile::new().unwrap();
        let mut counted = Command::new("/usr/bin/time");
        counted.args(["-f", "%U %S %M", "-o"]).arg(report.path());
        counted.arg(command.get_program()).args(command.get_args());
        let before = background.map(Background::cpu).unwrap_or_default();
        let counted = take(counted, command);
        let after = background.map(Background::cpu).unwrap_or_default();
        let text = std::fs::read_to_string(report.path()).unwrap();
        let fields: Vec<f64> = text.split_whitespace().map(|field| field.parse().unwrap()).collect();
        let cpu = Duration::from_secs_f64(fields[0] + fields[1]) + after.saturating_sub(before);
        Cost { wall: wall.unwrap_or(counted), cpu, peak: fields[2] as u64 }
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

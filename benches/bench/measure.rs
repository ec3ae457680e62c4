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

/// Runs two commands by turns, each once before the first turn, and prints what they cost and the ratios.
pub fn compare(
    what: &str,
    rounds: usize,
    (name, ours, background): (&str, Command, Option<&dyn Background>),
    (other, theirs): (&str, Command),
    goal: &str,
) {
    let mut costs = (Vec::new(), Vec::new());
    run(&ours, background);
    run(&theirs, None);
    for _ in 0..rounds {
        costs.0.push(run(&ours, background));
        costs.1.push(run(&theirs, None));
    }
    let (ours, theirs) = (median(&costs.0), median(&costs.1));
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "{what:<5} {name:<20} {:8.1} ms {:8.1} ms cpu {:6.1} MiB   {other:<20} {:8.1} ms {:8.1} ms cpu {:6.1} MiB   \
         ratio {:.2}x, cpu {:.2}x   (goal {goal})",
        millis(ours.wall),
        millis(ours.cpu),
        ours.peak as f64 / 1024.0,
        millis(theirs.wall),
        millis(theirs.cpu),
        theirs.peak as f64 / 1024.0,
        ours.wall.as_secs_f64() / theirs.wall.as_secs_f64(),
        ours.cpu.as_secs_f64() / theirs.cpu.as_secs_f64().max(1e-3),
    );
}

/// Runs a command twice, which has to succeed: once alone for its wall time, and once under GNU time for the rest. The
/// kernel's own account of children also has what ran before.
fn run(command: &Command, background: Option<&dyn Background>) -> Cost {
    let mut alone = Command::new(command.get_program());
    alone.args(command.get_args());
    let wall = take(alone, command);
    let report = tempfile::NamedTempFile::new().unwrap();
    let mut counted = Command::new("/usr/bin/time");
    counted.args(["-f", "%U %S %M", "-o"]).arg(report.path());
    counted.arg(command.get_program()).args(command.get_args());
    let before = background.map(Background::cpu).unwrap_or_default();
    take(counted, command);
    let after = background.map(Background::cpu).unwrap_or_default();
    let text = std::fs::read_to_string(report.path()).unwrap();
    let fields: Vec<f64> = text.split_whitespace().map(|field| field.parse().unwrap()).collect();
    let cpu = Duration::from_secs_f64(fields[0] + fields[1]) + after.saturating_sub(before);
    Cost { wall, cpu, peak: fields[2] as u64 }
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

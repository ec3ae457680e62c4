//! What a start of the command line costs: `--version` beside a program that does nothing, `ls` of a thousand VMs
//! beside the same. Run with `cargo bench --bench startup`.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark prints and panics"
)]

#[expect(dead_code, reason = "shared with the tests")]
#[path = "../tests/support/home.rs"]
mod home;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use home::Home;

const ROUNDS: usize = 200;
const VMS: usize = 1000;

fn main() {
    let home = Home::new();
    let bare = bare_program(&home);
    let version = home.command(&["--version"]);
    report("--version", version, &bare, "at most 2x a program that does nothing");

    for first in (0..VMS).step_by(100) {
        let names: Vec<String> = (first..first + 100).map(|number| format!("vm-{number}")).collect();
        let args: Vec<&str> = ["create"].into_iter().chain(names.iter().map(String::as_str)).collect();
        home.ok(&args);
    }
    for args in [["ls"].as_slice(), &["ls", "--json"], &["ls", "-q"]] {
        report(&args.join(" "), home.command(args), &bare, "of 1000 VMs: at most 50 ms and 30 MiB");
    }
}

/// Compiles the smallest Rust program there is.
fn bare_program(home: &Home) -> Command {
    let source = home.dir().join("bare.rs");
    let program = home.dir().join("bare");
    std::fs::write(&source, "fn main() {}").unwrap();
    let mut rustc = Command::new("rustc");
    rustc.args(["-O", "-o"]).arg(&program).arg(&source);
    assert!(rustc.status().unwrap().success());
    Command::new(program)
}

/// Runs a command and the bare program by turns, and prints both medians, their ratio and the command's peak memory.
fn report(name: &str, mut command: Command, bare: &Command, goal: &str) {
    let mut bare = Command::new(bare.get_program());
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        floor.push(time(&mut bare));
        ours.push(time(&mut command));
    }
    let (ours, floor) = (median(ours), median(floor));
    let peak = peak_mib(&command);
    println!(
        "{name:<12} {:7.2} ms  bare {:5.2} ms  ratio {:6.2}  peak {peak:5.1} MiB   ({goal})",
        millis(ours),
        millis(floor),
        ours.as_secs_f64() / floor.as_secs_f64(),
    );
}

fn time(command: &mut Command) -> Duration {
    let begun = Instant::now();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    let took = begun.elapsed();
    assert!(status.success(), "{command:?}");
    took
}

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort_unstable();
    *all.get(all.len() / 2).unwrap()
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Returns the most memory that a run of the command occupied, as its own kernel counters say at its end.
fn peak_mib(command: &Command) -> f64 {
    let mut timed = Command::new("/usr/bin/time");
    timed.args(["-f", "%M"]).arg(command.get_program()).args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => timed.env(key, value),
            None => timed.env_remove(key),
        };
    }
    let out = timed.stdout(Stdio::null()).stderr(Stdio::piped()).output().unwrap();
    String::from_utf8_lossy(&out.stderr).trim().parse::<f64>().unwrap() / 1024.0
}

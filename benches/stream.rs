//! A long stream into a machine and out of it, beside OpenSSH: equal hashes, the rate, and how much more memory it takes
//! than a few bytes do. One real server on this machine. Run with `cargo bench --bench stream`; another
//! length than 10 GiB can follow: `cargo bench --bench stream -- 1`.
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
#[expect(dead_code, reason = "shared with the other benchmarks")]
#[path = "bench/measure.rs"]
mod measure;
#[expect(dead_code, reason = "shared with the tests")]
#[path = "../tests/support/memory.rs"]
mod memory;
#[expect(dead_code, reason = "shared with the other benchmarks")]
#[path = "bench/openssh.rs"]
mod openssh;
#[expect(dead_code, reason = "shared with the tests")]
#[path = "../tests/support/sshd.rs"]
mod sshd;

use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

use measure::Background;
use memory::Watch;
use openssh::Bench;

/// The length of a stream, in GiB.
const GIB: u64 = 10;

/// The most by which a process may grow while a stream passes, in KiB.
const GROWTH: u64 = 32 << 10;

/// A command in the machine, made from the command's words.
type Way<'a> = (&'static str, Box<dyn Fn(&str) -> Command + 'a>);

fn main() {
    let bench = Bench::new(1);
    let gib = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(GIB);
    // Numbers of eleven digits: every line is unlike all others, so what is lost, doubled or moved changes the hash.
    let lines = gib * (1 << 30) / 12;
    let source = format!("seq 10000000000 {}", 9_999_999_999 + lines);
    let right = sum(started(&mut local(&source)).stdout.take().unwrap());
    println!("{gib} GiB each way, SHA-256 {right}");
    let split = |flags: &'static [&str], line: &str| {
        let argv: Vec<&str> = line.split(' ').collect();
        bench.ai_vm(&[&["exec"], flags, &["vm-0", "--"], argv.as_slice()].concat())
    };
    let ways: [Way; 3] = [
        ("ssh", Box::new(|line| bench.ssh(false, line))),
        ("ai-vm exec --no-mux", Box::new(|line| split(&["--no-mux"], line))),
        ("ai-vm exec", Box::new(|line| split(&[], line))),
    ];
    let mut floor = None;
    for (name, way) in &ways {
        let little = peak_of(way("true"));
        let (sent, send_peak) = send(way("sha256sum"), &source, &right);
        let (received, receive_peak) = receive(way(&source), &right);
        let holder = bench.peak();
        let theirs = *floor.get_or_insert((sent, received));
        let rate = |seconds: f64| gib as f64 * 1024.0 / seconds;
        let growth = send_peak.max(receive_peak).max(holder).saturating_sub(little);
        println!(
            "{name:<20} sent {:6.0} MiB/s (ratio {:.2}x), received {:6.0} MiB/s (ratio {:.2}x), {little} KiB for a few \
             bytes, {growth} KiB more for the stream",
            rate(sent),
            sent / theirs.0,
            rate(received),
            received / theirs.1,
        );
        assert!(growth <= GROWTH, "{name} grows with the stream");
    }
}

/// Sends the stream, and returns the seconds it took and the command's most memory.
fn send(mut command: Command, source: &str, right: &str) -> (f64, u64) {
    let begun = Instant::now();
    let input = started(&mut local(source)).stdout.take().unwrap();
    let child = command.stdin(input).stdout(Stdio::piped()).spawn().unwrap();
    let watch = Watch::on(&child);
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8(ended.stdout).unwrap();
    assert!(ended.status.success() && said.split(' ').next() == Some(right), "{command:?}: {said}");
    (begun.elapsed().as_secs_f64(), watch.peak())
}

fn receive(mut command: Command, right: &str) -> (f64, u64) {
    let begun = Instant::now();
    let mut child = started(&mut command);
    let watch = Watch::on(&child);
    assert_eq!(sum(child.stdout.take().unwrap()), right, "{command:?}");
    assert!(child.wait().unwrap().success());
    (begun.elapsed().as_secs_f64(), watch.peak())
}

fn peak_of(mut command: Command) -> u64 {
    let mut child = started(&mut command);
    let watch = Watch::on(&child);
    assert!(child.wait().unwrap().success());
    watch.peak()
}

fn local(line: &str) -> Command {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().unwrap());
    command.args(words);
    command
}

fn started(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).spawn().unwrap()
}

fn sum(stream: ChildStdout) -> String {
    let output = Command::new("sha256sum").stdin(stream).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
}

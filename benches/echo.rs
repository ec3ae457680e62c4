//! Keystrokes in `ai-vm shell`: from the key to its echo, beside `ssh -tt`. One real server on this machine serves
//! both; each key is typed in the one and then in the other. Run with `cargo bench --bench echo`.
#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a benchmark prints and panics")]
#![expect(clippy::indexing_slicing, reason = "a benchmark prints and panics")]

use std::process::Command;
use std::time::{Duration, Instant};

#[expect(dead_code, reason = "shared with the tests")]
#[path = "../tests/support/home.rs"]
mod home;
#[expect(dead_code, reason = "shared with other benchmarks")]
#[path = "bench/measure.rs"]
mod measure;
#[expect(dead_code, reason = "shared with other benchmarks")]
#[path = "bench/openssh.rs"]
mod openssh;
#[expect(dead_code, reason = "shared with the tests")]
#[path = "../tests/support/pty.rs"]
mod pty;
#[expect(dead_code, reason = "shared with the tests")]
#[path = "../tests/support/sshd.rs"]
mod sshd;

use openssh::Bench;
use pty::Pty;

const KEYS: usize = 400;

/// Between two keys: as fast as nobody types, so that each is a packet of its own.
const PAUSE: Duration = Duration::from_millis(10);

/// A program that echoes each key by itself, as a shell with line editing does.
const ECHO: &str = "stty raw -echo; echo ready; exec cat";

fn main() {
    let bench = Bench::new(1);
    println!("from a key to its echo, median and slowest twentieth of {KEYS} keys");
    let shell =
        |options: &[&str]| bench.ai_vm(&[&["shell"], options, &["vm-0", "--", "sh", "-c", ECHO]].concat());
    compare(("ai-vm shell --no-mux", &shell(&["--no-mux"])), &ssh(&bench, false));
    compare(("ai-vm shell", &shell(&[])), &ssh(&bench, true));
}

/// OpenSSH without what it does since 9.5 to hide when keys are pressed, which takes up to 20 ms.
fn ssh(bench: &Bench, warm: bool) -> Command {
    let told = Command::new("ssh").arg("-V").output().unwrap().stderr;
    let version = String::from_utf8_lossy(&told).into_owned();
    let number = version.trim_start_matches("OpenSSH_").split(|c: char| c != '.' && !c.is_ascii_digit());
    let mut parts =
        number.into_iter().next().unwrap_or_default().split('.').map_while(|part| part.parse().ok());
    let version: (u32, u32) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    let plain = bench.ssh(warm, ECHO);
    let mut ssh = Command::new("ssh");
    ssh.arg("-tt");
    if version >= (9, 5) {
        ssh.args(["-o", "ObscureKeystrokeTiming=no"]);
    }
    ssh.args(plain.get_args());
    ssh
}

/// Types the same in both, by turns.
fn compare((name, ours): (&str, &Command), theirs: &Command) {
    let mut both = [Pty::run(ours), Pty::run(theirs)];
    for one in &both {
        one.expect("ready");
    }
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..KEYS {
        for (one, times) in both.iter_mut().zip(&mut times) {
            std::thread::sleep(PAUSE);
            times.push(echo(one));
        }
    }
    let shown = times.map(|mut times| {
        times.sort_unstable();
        let at = |part: usize| times[times.len() * part / 20].as_secs_f64() * 1e3;
        (at(10), at(19))
    });
    let [(ours, ours_slow), (theirs, theirs_slow)] = shown;
    println!(
        "{name:<20} {ours:6.2} ms, {ours_slow:6.2} ms   ssh -tt {theirs:6.2} ms, {theirs_slow:6.2} ms   \
         {:+.2} ms, ratio {:.2}x   (goal +1 ms)",
        ours - theirs,
        ours / theirs
    );
}

/// Types a key and tells how long its echo took.
fn echo(pty: &mut Pty) -> Duration {
    let before = pty.screen().len();
    let begun = Instant::now();
    pty.type_keys("x");
    drop(pty.wait(|seen| seen.len() > before, "x"));
    begun.elapsed()
}

//! Streams: that they end when they should, are complete when they end, and take no memory however long they are. On a
//! connection of the command's own, and on one that is kept.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ai_vm::host::detached;
use ai_vm::host::layout::Layout;
use ai_vm::ssh::mux::wire;

use crate::home::{finish, wait};
use crate::memory::{Watch, high_water};
use crate::sshd::Guest;

const PATIENCE: Duration = Duration::from_secs(60);
/// For what takes some seconds on a machine that does nothing else.
const MINUTES: Duration = Duration::from_secs(300);

const WAYS: [&[&str]; 2] = [&["--no-mux"], &[]];

/// The most by which a process may grow while a stream passes, in KiB.
const GROWTH: u64 = 32 << 10;

/// Half a gibibyte in lines of ten bytes, each unlike all others: what is lost, doubled or moved changes the hash.
const LINES: [&str; 3] = ["seq", "100000000", "153687091"];

fn exec(guest: &Guest, way: &[&str], argv: &[&str]) -> Command {
    guest.home.command(&[&["exec"], way, &["vm", "--"], argv].concat())
}

fn piped(command: &mut Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn gone_by(path: &Path, deadline: Instant) -> bool {
    while path.exists() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

#[test]
fn a_pipe_into_head_ends_here_and_there() {
    let guest = Guest::serve("");
    let mark = guest.home.dir().join("pid");
    for way in WAYS {
        let script = format!("echo $$ > {}; exec yes", mark.display());
        let mut yes = exec(&guest, way, &["sh", "-c", &script]);
        let mut child = yes.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut head = Command::new("head");
        head.args(["-n", "1000"]).stdin(child.stdout.take().unwrap());
        assert_eq!(finish(head, PATIENCE).out, "y\n".repeat(1000));
        assert_eq!(wait(child, PATIENCE, "yes").code, 141, "{way:?}");
        let pid = std::fs::read_to_string(&mark).unwrap();
        let process = Path::new("/proc").join(pid.trim());
        assert!(gone_by(&process, Instant::now() + Duration::from_secs(10)), "{way:?}: `yes` goes on there");
    }
}

#[test]
fn a_command_ends_while_its_input_stays_open() {
    let guest = Guest::serve("");
    for way in WAYS {
        let mut child = piped(&mut exec(&guest, way, &["sh", "-c", "read -r line; echo \"$line\"; exit 4"]));
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b"one\ntwo\n").unwrap();
        let ran = wait(child, PATIENCE, "read");
        assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (4, "one\n", ""), "{way:?}");
        drop(stdin);
    }
}

#[test]
fn input_ends_for_the_command_when_it_ends_here() {
    let guest = Guest::serve("");
    for way in WAYS {
        for (input, count) in [("", "0\n"), ("x", "1\n"), (&"x".repeat(100_000), "100000\n")] {
            let mut child = piped(&mut exec(&guest, way, &["wc", "-c"]));
            child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
            assert_eq!(wait(child, PATIENCE, "wc").out, count, "{way:?}");
        }
        // Both directions at once, more than all buffers on the way hold together.
        let script = "head -c 30000000 /dev/zero | tee /dev/stderr";
        let mut child = piped(&mut exec(
            &guest,
            way,
            &["sh", "-c", &format!("exec 3<&0; cat <&3 >/dev/null & {script}; wait")],
        ));
        let mut stdin = child.stdin.take().unwrap();
        let feeding = std::thread::spawn(move || stdin.write_all(&vec![0; 30_000_000]));
        let ran = wait(child, PATIENCE, "both");
        feeding.join().unwrap().unwrap();
        assert_eq!((ran.code, ran.out.len(), ran.err.len()), (0, 30_000_000, 30_000_000), "{way:?}");
    }
}

#[test]
fn what_was_written_before_the_end_is_read_after_it() {
    let guest = Guest::serve("");
    for way in WAYS {
        // The command has long ended when the last of it is read.
        let mut command = exec(&guest, way, &["sh", "-c", "head -c 3000000 /dev/zero; echo err >&2; exit 9"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = child.stdout.take().unwrap();
        let (mut read, mut buffer) = (0, vec![0; 300_000]);
        while let Ok(count @ 1..) = out.read(&mut buffer) {
            read += count;
            std::thread::sleep(Duration::from_millis(5));
        }
        let ran = wait(child, PATIENCE, "head");
        assert_eq!((read, ran.code, ran.err.as_str()), (3_000_000, 9, "err\n"), "{way:?}");
        // Nor is that lost which something says that the command left behind.
        let ran = finish(exec(&guest, way, &["sh", "-c", "(sleep 0.3; echo late) & echo early"]), PATIENCE);
        assert_eq!((ran.code, ran.out.as_str()), (0, "early\nlate\n"), "{way:?}");
    }
}

#[test]
fn half_a_gibibyte_passes_each_way_on_a_new_connection_and_takes_no_memory() {
    half_a_gibibyte_passes(&Guest::serve(""), &["--no-mux"]);
}

#[test]
fn half_a_gibibyte_passes_each_way_on_a_kept_connection_and_takes_no_memory() {
    let guest = Guest::serve("");
    let little = half_a_gibibyte_passes(&guest, &[]);
    let lock = Layout::new(guest.home.data()).holder_lock(wire::VERSION);
    let peak = high_water(detached::find_by_stdin(&lock).unwrap().pid).unwrap();
    assert!(peak <= little + GROWTH, "the process that keeps connections took {peak} KiB");
}

/// Sends and receives, and returns how much memory a command takes for a few bytes.
fn half_a_gibibyte_passes(guest: &Guest, way: &[&str]) -> u64 {
    let mut little = exec(guest, way, &["echo", "little"]).stdout(Stdio::piped()).spawn().unwrap();
    let watch = Watch::on(&little);
    assert!(little.wait().unwrap().success());
    let little = watch.peak();

    let right = sum(source().stdout.take().unwrap());
    let input = source().stdout.take().unwrap();
    let sent = exec(guest, way, &["sha256sum"]).stdin(input).stdout(Stdio::piped()).spawn().unwrap();
    let watch = Watch::on(&sent);
    let said = wait(sent, MINUTES, "sent").out;
    assert_eq!(said.split(' ').next().unwrap(), right, "{way:?}: sent");
    let send_peak = watch.peak();

    let mut received = exec(guest, way, &LINES).stdout(Stdio::piped()).spawn().unwrap();
    let watch = Watch::on(&received);
    assert_eq!(sum(received.stdout.take().unwrap()), right, "{way:?}: received");
    assert!(received.wait().unwrap().success());
    for (direction, peak) in [("sent", send_peak), ("received", watch.peak())] {
        let growth = peak.saturating_sub(little);
        assert!(growth <= GROWTH, "{way:?}: {growth} KiB more than for a few bytes, {direction}");
    }
    little
}

fn source() -> Child {
    Command::new(LINES[0]).args(&LINES[1..]).stdout(Stdio::piped()).spawn().unwrap()
}

/// The SHA-256 of a stream, by a program that is fast also while this one is built for tests.
fn sum(stream: impl Into<Stdio>) -> String {
    let mut command = Command::new("sha256sum");
    command.stdin(stream);
    finish(command, MINUTES).out.split(' ').next().unwrap().to_owned()
}

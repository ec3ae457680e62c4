//! A copy that ends in its middle: nothing half-made lies anywhere, and what was there is there as it was.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::copy::{PATIENCE, command, names, ok, serve};
use crate::home::{Ran, wait};
use crate::processes;
use crate::sshd::Guest;

/// How large the file is: a copy of it takes a second and more.
const LARGE: usize = 256 << 20;

/// How much has passed when it is in the middle.
const SOME: u64 = 8 << 20;

/// Starts a copy and returns when it is in its middle.
fn halfway(guest: &Guest, args: &[&str]) -> Child {
    let mut command = command(guest, args);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while moved(child.id()).is_some_and(|bytes| bytes < SOME) {
        assert!(Instant::now() < deadline, "{args:?} does not get on");
        assert!(child.try_wait().unwrap().is_none(), "{args:?} ended: {:?}", end(child));
        std::thread::sleep(Duration::from_millis(1));
    }
    child
}

/// How many bytes a process has read or written, files and pipes; not sockets, but one of both sides is none.
fn moved(pid: u32) -> Option<u64> {
    let counts = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    counts.lines().filter_map(|line| line.split_once("char: ")?.1.parse().ok()).max()
}

fn end(child: Child) -> Ran {
    wait(child, PATIENCE, "cp")
}

/// Waits until only this is left in a directory.
fn expect_names(dir: &Path, expected: &[&str], patience: Duration) {
    let deadline = Instant::now() + patience;
    while names(dir) != expected {
        assert!(Instant::now() < deadline, "{:?} is left, and not {expected:?}", names(dir));
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A server, and on both sides a large file `large` and an old one `old`.
fn large() -> (Guest, [std::path::PathBuf; 2]) {
    let (guest, host, there) = serve();
    fs::write(host.join("large"), vec![7; LARGE]).unwrap();
    fs::hard_link(host.join("large"), there.join("large")).unwrap();
    for place in [&host, &there] {
        fs::write(place.join("old"), "old").unwrap();
    }
    (guest, [host, there])
}

/// The ways there are: in and out, to a new name and over an old file, by a kept connection and by one of its own.
const WAYS: [&[&str]; 5] = [
    &["large", "vm:there/new"],
    &["--no-mux", "large", "vm:there/old"],
    &["vm:there/large", "new"],
    &["--no-mux", "vm:there/large", "old"],
    &["vm:there/large", "vm:there/old"],
];

#[test]
fn a_copy_that_is_told_to_end_leaves_nothing() {
    let (guest, places) = large();
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        for way in WAYS {
            let child = halfway(&guest, way);
            processes::signal(child.id(), signal);
            let ran = end(child);
            assert_eq!(ran.code, code, "{way:?}: {}", ran.err);
            assert!(!ran.err.contains("panicked"), "{}", ran.err);
            // Not only soon: when it has ended, all is as it was.
            for place in &places {
                assert_eq!(names(place), ["large", "old"], "{way:?}");
                assert_eq!(fs::read(place.join("old")).unwrap(), b"old", "{way:?}");
            }
        }
    }
}

#[test]
fn a_copy_that_is_killed_leaves_nothing_and_the_next_one_is_whole() {
    let (guest, places) = large();
    for way in WAYS {
        let mut child = halfway(&guest, way);
        child.kill().unwrap();
        assert_eq!(end(child).code, 137, "{way:?}");
        // The VM has to notice first.
        for place in &places {
            expect_names(place, &["large", "old"], Duration::from_secs(20));
            assert_eq!(fs::read(place.join("old")).unwrap(), b"old", "{way:?}");
        }
    }
    for way in [WAYS[0], WAYS[3]] {
        ok(&guest, way);
    }
    let large = fs::read(places[0].join("large")).unwrap();
    for copy in [places[1].join("new"), places[0].join("old")] {
        assert!(fs::read(&copy).unwrap() == large, "{copy:?} is not what was copied");
    }
}

#[test]
fn a_connection_that_breaks_leaves_nothing() {
    let (guest, places) = large();
    for way in WAYS {
        let child = halfway(&guest, way);
        guest.server.as_ref().unwrap().break_connections();
        let ran = end(child);
        assert_eq!(ran.code, 255, "{way:?}: {}", ran.err);
        assert!(
            ran.err.contains("error: vm: ") && ran.err.contains("`ai-vm info vm`"),
            "{way:?}: {}",
            ran.err
        );
        for place in &places {
            expect_names(place, &["large", "old"], Duration::from_secs(20));
            assert_eq!(fs::read(place.join("old")).unwrap(), b"old", "{way:?}");
        }
    }
    ok(&guest, WAYS[0]);
    assert!(fs::read(places[1].join("new")).unwrap() == fs::read(places[0].join("large")).unwrap());
}

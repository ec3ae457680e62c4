//! Somebody kills ai-vm while it makes the image: what it started ends too, and nothing half-made stays.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::home::Home;
use crate::processes;

#[test]
fn a_killed_build_leaves_nothing() {
    let home = Home::new();
    // Where mmdebstrap unpacks; its user namespace has to be able to enter.
    let unpack = tempfile::tempdir_in("/var/tmp").unwrap();
    std::fs::set_permissions(unpack.path(), PermissionsExt::from_mode(0o755)).unwrap();

    let mut build = home.command(&["image", "build"]);
    let mut build = build.env("TMPDIR", unpack.path()).stderr(Stdio::piped()).spawn().unwrap();
    let said = BufReader::new(build.stderr.take().unwrap()).lines();
    let step = said.map(Result::unwrap).find(|line| line.contains("unpacking the base system"));
    assert!(step.is_some(), "the build ended early: {:?}", build.wait());
    build.kill().unwrap();
    build.wait().unwrap();

    let deadline = Instant::now() + Duration::from_secs(30);
    while let [pid, ..] = started_by(&home)[..] {
        let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        assert!(Instant::now() < deadline, "{pid} goes on: {command:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
    let left: Vec<_> =
        std::fs::read_dir(unpack.path()).unwrap().flatten().map(|entry| entry.path()).collect();
    assert!(left.is_empty(), "{left:?}");
    // The next command that makes anything sweeps what was half-made.
    assert_eq!(home.ok(&["image", "ls", "-q"]).out, "");
    home.ok(&["create", "vm"]);
    assert_eq!(std::fs::read_dir(home.data().join("staging")).unwrap().count(), 0);
}

/// Every process that inherited a home's environment: the binary's own, and whatever they started.
fn started_by(home: &Home) -> Vec<u32> {
    let mark = format!("AI_VM_HOME={}\0", home.data().display()).into_bytes();
    processes::all()
        .filter(|pid| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.windows(mark.len()).any(|part| part == mark)
        })
        .collect()
}

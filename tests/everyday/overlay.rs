//! VMs that keep nothing: what is on their disks is there until they start again.

use std::path::Path;
use std::process::Command;

use crate::home::Home;
use crate::machine;

fn qemu_io(disk: &Path, command: &str) -> String {
    let ran = Command::new("qemu-io").args(["-f", "qcow2", "-c", command]).arg(disk).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    assert!(said.contains("64 KiB, 1 ops"), "{said}");
    said
}

/// Writes a mark to a disk.
pub fn mark(disk: &Path) {
    qemu_io(disk, "write -P 0x41 1M 64k");
}

/// Whether it is there.
pub fn has_mark(disk: &Path) -> bool {
    !qemu_io(disk, "read -P 0x41 1M 64k").contains("verification failed")
}

/// Whether a mark on the disk outlives a start.
fn keeps(home: &Home, flags: &[&str]) -> bool {
    let empty = machine::empty(home);
    let empty: Vec<&str> = empty.iter().map(String::as_str).collect();
    home.ok(&[&["create", "vm"], empty.as_slice(), flags].concat());
    let disk = home.vm("vm").join("disk.qcow2");
    let first = machine::start(home);
    assert_eq!(first.err.contains("begins with a clean disk"), flags.contains(&"--overlay"), "{}", first.err);
    home.ok(&["stop", "--force", "vm"]);
    mark(&disk);
    assert!(has_mark(&disk));
    let second = machine::start(home);
    assert!(!second.err.contains("clean disk"), "it is said at the first start only: {}", second.err);
    home.ok(&["stop", "--force", "vm"]);
    has_mark(&disk)
}

#[test]
fn an_overlay_forgets_and_nothing_else_does() {
    assert!(keeps(&Home::new(), &[]));
    assert!(!keeps(&Home::new(), &["--overlay"]));
}

#[test]
fn an_overlay_whose_disk_is_gone_is_not_broken() {
    let home = Home::new();
    let empty = machine::empty(&home);
    let empty: Vec<&str> = empty.iter().map(String::as_str).collect();
    home.ok(&[&["create", "vm", "-o"], empty.as_slice()].concat());
    machine::start(&home);
    home.ok(&["stop", "--force", "vm"]);
    std::fs::remove_file(home.vm("vm").join("disk.qcow2")).unwrap();
    assert_eq!(home.state(), "stopped");
    assert_eq!(home.list()[0]["overlay"], true);
    assert!(home.ok(&["info", "vm"]).out.contains("\noverlay:"));
    machine::start(&home);
    // It runs: what it is asked to be otherwise is told, and it goes on as it is.
    let ran = home.run(&["up", "vm", "--overlay", "--audio", "--timeout", "1"]);
    assert!(ran.err.contains("keeps its own audio\n"), "{}", ran.err);
}

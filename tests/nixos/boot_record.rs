//! What a rebuilt system records for its next boot, read as the host reads it.

use std::collections::BTreeMap;
use std::io::Read;
use std::process::Command;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::stage::{Stage, ok, stderr};

const ROOM: u64 = 4 << 20;

/// A system with a kernel that does not end on a block of the archive, and a disk for the record.
fn guest(room: u64) -> Stage {
    let stage = Stage::new();
    stage.write("store/bzImage", &"kernel ".repeat(10_001));
    stage.write("store/initrd-file", &"initrd ".repeat(20_002));
    stage.write("store/system/kernel-params", "panic=1 quoted=\"a b\\c\" root=fstab");
    for (name, target) in [("kernel", "bzImage"), ("initrd", "initrd-file")] {
        std::os::unix::fs::symlink(stage.path("store").join(target), stage.path("store/system").join(name))
            .unwrap();
    }
    std::os::unix::fs::symlink("store/system", stage.path("system-link")).unwrap();
    std::fs::File::create(stage.path("disk")).unwrap().set_len(room).unwrap();
    stage
}

fn record(stage: &Stage) -> Command {
    let mut script = stage.script("record-boot.sh");
    script
        .arg(stage.path("system-link"))
        .env("AI_VM_BOOT_DEVICE", stage.path("disk"))
        .env("AI_VM_KERNEL_PARAMS", "console=tty0 console=ttyS0,115200n8");
    script
}

/// Reads a record as the host does: all of it, or none.
fn read(stage: &Stage) -> Option<(Value, BTreeMap<String, Vec<u8>>)> {
    let file = std::fs::File::open(stage.path("disk")).unwrap();
    let mut archive = tar::Archive::new(file);
    let mut entries = archive.entries().ok()?;
    let mut head = entries.next()?.ok()?;
    assert_eq!(head.path().unwrap().to_str(), Some("boot.json"));
    let mut text = String::new();
    head.read_to_string(&mut text).ok()?;
    let told: Value = serde_json::from_str(&text).ok()?;
    let mut members = BTreeMap::new();
    for entry in entries {
        let mut entry = entry.ok()?;
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).ok()?;
        let sum: String = Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
        if told[&name] != json!({ "bytes": content.len(), "sha256": sum }) {
            return None;
        }
        members.insert(name, content);
    }
    (members.len() == 2).then_some((told, members))
}

#[test]
fn the_host_reads_what_the_guest_recorded() {
    let stage = guest(ROOM);
    let output = ok(&mut record(&stage));
    assert!(stderr(&output).contains("recorded "), "{output:?}");
    let (told, members) = read(&stage).unwrap();
    let system = stage.path("store/system").canonicalize().unwrap();
    assert_eq!(told["schema"], 1);
    assert_eq!(told["toplevel"], system.to_str().unwrap());
    let cmdline = format!(
        "panic=1 quoted=\"a b\\c\" root=fstab init={}/init console=tty0 console=ttyS0,115200n8",
        system.display()
    );
    assert_eq!(told["cmdline"], cmdline);
    assert_eq!(members["kernel"], stage.read("store/bzImage").into_bytes());
    assert_eq!(members["initrd"], stage.read("store/initrd-file").into_bytes());
    // The disk keeps its size, and other programs read it too.
    assert_eq!(std::fs::metadata(stage.path("disk")).unwrap().len(), ROOM);
    let listed = ok(Command::new("tar").arg("--list").arg("--file").arg(stage.path("disk")));
    assert_eq!(listed.stdout, b"boot.json\nkernel\ninitrd\n");
}

#[test]
fn a_newer_record_replaces_an_older_and_larger_one() {
    let stage = guest(ROOM);
    ok(&mut record(&stage));
    stage.write("store/bzImage", "a small kernel");
    stage.write("store/initrd-file", "a small initrd");
    ok(&mut record(&stage));
    let (_, members) = read(&stage).unwrap();
    assert_eq!(members["kernel"], b"a small kernel");
    assert_eq!(members["initrd"], b"a small initrd");
}

/// A write that is cut off anywhere, as by a lost power, is no record.
#[test]
fn a_torn_record_counts_as_none() {
    let stage = guest(ROOM);
    ok(&mut record(&stage));
    let whole = std::fs::read(stage.path("disk")).unwrap();
    let content = stage.read("store/bzImage").len() + stage.read("store/initrd-file").len();
    for written in (0..content + 1536).step_by(8 * 1024) {
        let mut torn = whole.clone();
        torn[written..].fill(0);
        std::fs::write(stage.path("disk"), &torn).unwrap();
        assert!(read(&stage).is_none(), "a record of {written} bytes was taken");
    }
    let mut flipped = whole;
    flipped[100 * 1024] ^= 1;
    std::fs::write(stage.path("disk"), &flipped).unwrap();
    assert!(read(&stage).is_none());
}

#[test]
fn where_nothing_can_be_recorded_it_says_so_and_succeeds() {
    let stage = guest(ROOM);
    std::fs::remove_file(stage.path("disk")).unwrap();
    let said = stderr(&ok(&mut record(&stage)));
    assert!(said.contains("will not survive a restart"), "{said}");
    assert!(!stage.path("disk").exists());

    let stage = guest(ROOM);
    let said = stderr(&ok(record(&stage).env("AI_VM_OVERLAY", "1")));
    assert!(said.contains("in memory") && said.contains("will not survive"), "{said}");
    assert!(read(&stage).is_none());
}

#[test]
fn a_disk_that_is_too_small_keeps_what_it_has() {
    let stage = guest(ROOM);
    ok(&mut record(&stage));
    let before = std::fs::read(stage.path("disk")).unwrap();
    std::fs::File::create(stage.path("store/initrd-file")).unwrap().set_len(ROOM).unwrap();
    let said = stderr(&ok(&mut record(&stage)));
    assert!(said.contains("boots what was recorded before"), "{said}");
    assert_eq!(std::fs::read(stage.path("disk")).unwrap(), before);
}

#[test]
fn a_system_without_a_kernel_is_an_error_and_changes_nothing() {
    let stage = guest(ROOM);
    ok(&mut record(&stage));
    let before = std::fs::read(stage.path("disk")).unwrap();
    std::fs::remove_file(stage.path("store/bzImage")).unwrap();
    assert!(!record(&stage).output().unwrap().status.success());
    assert_eq!(std::fs::read(stage.path("disk")).unwrap(), before);
}

//! A launch without a verb: a VM, the script that starts it again, and a folder of its own.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::home::{Home, Ran, finish};
use crate::machine;
use crate::pty::Pty;

/// The command in a folder, with a VM that has an empty disk.
fn launch(home: &Home, dir: &Path, flags: &[&str]) -> Command {
    let empty = machine::empty(home);
    let empty: Vec<&str> = empty.iter().map(String::as_str).collect();
    let mut command = home.command(&[empty.as_slice(), flags].concat());
    command.current_dir(dir);
    command
}

/// Runs a command whose VM stays up, in a terminal, and ends it by two interrupts.
fn up_and_down(command: &Command) -> String {
    let mut pty = Pty::run(command);
    pty.expect("SeaBIOS");
    pty.type_keys("\u{3}");
    pty.expect("stopping");
    pty.type_keys("\u{3}");
    assert_eq!(pty.exit_code(), 130, "{}", pty.screen());
    pty.screen()
}

fn folder(home: &Home, name: &str) -> PathBuf {
    let dir = home.dir().join(name);
    std::fs::create_dir(&dir).unwrap();
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

fn run(command: Command) -> Ran {
    finish(command, Duration::from_secs(60))
}

const WILD: &str = "a 'b' $(touch x) `c`;\n#d \\";

#[test]
fn a_script_starts_it_again_from_anywhere() {
    let home = Home::with_data_in(WILD);
    let (project, elsewhere) = (folder(&home, "project"), folder(&home, "else where"));
    let share = folder(&home, "share\n$(touch y)'");
    let said = up_and_down(&launch(&home, &project, &["--share-ro", share.to_str().unwrap()]));
    assert!(said.contains("ai-vm: created, "), "{said}");
    let script = project.join("start-ai-vm.sh");
    assert_eq!(std::fs::metadata(&script).unwrap().permissions().mode() & 0o777, 0o755);
    let text = std::fs::read_to_string(&script).unwrap();
    for part in
        ["128mb memory, 1 CPUs, 1gb disk", "# ssh -p ", " -> /mnt/host-ro/", "StrictHostKeyChecking=yes"]
    {
        assert!(text.contains(part), "no {part}: {text}");
    }
    let checked = Command::new("shellcheck").arg(&script).output();
    if let Ok(checked) = checked {
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    }
    let mut again = Command::new(&script);
    again.current_dir(&elsewhere).env_remove("AI_VM_HOME");
    let said = up_and_down(&again);
    assert!(
        said.contains("ai-vm: started") && !said.contains("created") && !said.contains("making"),
        "{said}"
    );
    assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), 0);
    for dir in [&project, &elsewhere, &home.dir().to_owned()] {
        assert!(!dir.join("x").exists() && !dir.join("y").exists(), "something of a path was run");
    }
}

#[test]
fn what_is_there_is_used_or_its_differences_are_named() {
    let home = Home::new();
    let dir = folder(&home, "p");
    let flags = ["-n", "web"];
    let first = launch(&home, &dir, &flags);
    up_and_down(&first);
    std::fs::write(dir.join("start-web.sh"), "mine\n").unwrap();
    let said = up_and_down(&first);
    assert!(!said.contains("created") && said.contains("start-web.sh` is there already"), "{said}");
    assert_eq!(std::fs::read_to_string(dir.join("start-web.sh")).unwrap(), "mine\n");
    let mut other = home.command(&["-n", "web", "-r", "256mb", "-o", "-p", "8099:80"]);
    other.current_dir(&dir);
    let ran = run(other);
    assert_eq!(ran.code, 4, "{}", ran.err);
    assert!(ran.err.contains("`web` exists already, with another memory, ports, overlay\n"), "{}", ran.err);
    assert!(ran.err.contains("hint: start it as it is: `ai-vm start --console web`"), "{}", ran.err);
    assert_eq!(home.list().len(), 1);
    // Without any option, and beside a verb, it is not meant.
    assert_eq!(home.run(&[]).code, 2);
    assert_eq!(home.run(&["--ram", "4", "ls"]).code, 2);
}

#[test]
fn a_folder_has_it_all() {
    let home = Home::new();
    let dir = folder(&home, "p,file=x:y 'x' \" \n");
    let command = launch(&home, &dir, &["--dir"]);
    up_and_down(&command);
    let disk = dir.join("ai-vm.qcow2");
    assert!(disk.symlink_metadata().unwrap().is_file());
    assert_eq!(std::fs::read_link(home.vm("ai-vm").join("disk.qcow2")).unwrap(), disk);
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 2, "disk and script");
    let details = home.ok(&["info", "--json"].iter().chain(&["ai-vm"]).copied().collect::<Vec<_>>());
    let details: serde_json::Value = serde_json::from_str(&details.out).unwrap();
    assert_eq!(details[0]["dir"].as_str(), dir.to_str());
    // A guest that could write to the disk's file could have QEMU open any other.
    let ran = home.run(&["share", "add", "ai-vm", "--rw", dir.to_str().unwrap()]);
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(ran.err.contains("which a VM can write to"), "{}", ran.err);
    // Gone and back.
    let moved = home.dir().join("moved");
    std::fs::rename(&dir, &moved).unwrap();
    let ran = home.run(&["start", "--no-wait", "ai-vm"]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert!(ran.err.starts_with("error: there is no folder `"), "{}", ran.err);
    std::fs::rename(&moved, &dir).unwrap();
    home.ok(&["start", "--no-wait", "ai-vm"]);
    home.ok(&["rm", "--force", "ai-vm"]);
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0);
}

#[test]
fn nothing_of_somebody_elses_is_touched_in_a_folder() {
    let home = Home::new();
    let dir = folder(&home, "p");
    std::fs::write(dir.join("ai-vm.qcow2"), "mine").unwrap();
    let at = |dir: &Path| run(launch(&home, dir, &["--dir"]));
    let ran = at(&dir);
    assert_eq!(ran.code, 4, "{}", ran.err);
    assert!(home.list().is_empty());
    std::fs::remove_file(dir.join("ai-vm.qcow2")).unwrap();
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o757)).unwrap();
    assert_eq!(at(&dir).code, 2);
    let ran = run(launch(&home, &dir, &["--dir", "/nowhere"]));
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert!(home.list().is_empty(), "it left a VM behind");
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    // Somebody's link in the place of the script is no reason to write elsewhere.
    std::fs::write(home.dir().join("other"), "#!/bin/sh\n# Written by ai-vm for its VM `ai-vm` (x).\n")
        .unwrap();
    symlink(home.dir().join("other"), dir.join("start-ai-vm.sh")).unwrap();
    up_and_down(&launch(&home, &dir, &["--dir"]));
    home.ok(&["rm", "ai-vm"]);
    assert!(dir.join("start-ai-vm.sh").symlink_metadata().unwrap().is_symlink());
    assert!(!dir.join("ai-vm.qcow2").exists());
    let other = folder(&home, "shared");
    let shared = other.to_str().unwrap();
    let begun = Instant::now();
    let ran = run(launch(&home, &other, &["--dir", "--share-rw", shared]));
    assert_eq!(ran.code, 2, "{}: {:?}", ran.err, begun.elapsed());
}

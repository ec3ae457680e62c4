//! Waiting for what holds in a guest, or for its end.

use std::net::{Ipv4Addr, TcpListener};
use std::process::Child;
use std::time::Duration;

use ai_vm::host::detached;
use ai_vm::host::layout::VmDir;

use crate::fleet::Fleet;
use crate::home::{Home, Ran, wait};
use crate::machine;
use crate::sshd::Guest;

const PATIENCE: Duration = Duration::from_secs(60);

fn start(home: &Home, args: &[&str]) -> Child {
    let mut command = home.command(&[&["wait", "--timeout", "50"], args].concat());
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
}

fn finish(child: Child) -> Ran {
    wait(child, PATIENCE, "wait")
}

#[test]
fn a_port_a_file_and_a_command() {
    let guest = Guest::serve("");
    let port = portpicker::pick_unused_port().unwrap();
    // What has to be quoted, for whichever shell.
    let file = guest.home.dir().join("a 'file' \"of\" $HOME; \\ * \u{e4}");
    let (port_is, file_is) = (format!("port={port}"), format!("file={}", file.display()));
    let tries = guest.home.dir().join("tries");
    let command_is = format!("cmd=echo x >> {0}; test $(wc -l < {0}) -ge 3", tries.display());
    let vain = guest.home.run(&["wait", "vm", "--timeout", "1", "--for", &port_is, "--for", &file_is]);
    assert_eq!(vain.code, 5, "{}", vain.err);
    for words in ["`vm`", &port_is, "nothing accepts connections", "there is no such file", "hint:"] {
        assert!(vain.err.contains(words), "no {words}: {}", vain.err);
    }
    let before = guest.server_says().matches("Accepted publickey").count();
    let child = start(&guest.home, &["vm", "--for", &port_is, "--for", &file_is, "--for", &command_is]);
    let deadline = std::time::Instant::now() + PATIENCE;
    while !tries.exists() {
        assert!(std::time::Instant::now() < deadline, "the command was not tried");
        std::thread::sleep(Duration::from_millis(10));
    }
    let _listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    std::fs::write(&file, "").unwrap();
    let ran = finish(child);
    assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{}", ran.err);
    assert!(std::fs::read_to_string(&tries).unwrap().lines().count() >= 3);
    assert_eq!(
        guest.server_says().matches("Accepted publickey").count(),
        before + 1,
        "it logs in for each look"
    );
    // One of them is not enough.
    let ran = guest.home.run(&["wait", "vm", "--timeout", "1", "--for", &port_is, "--for", "file=/no/such"]);
    assert_eq!(ran.code, 5, "{}", ran.err);
    assert!(ran.err.contains("file=/no/such (") && !ran.err.contains("port="), "{}", ran.err);
}

#[test]
fn a_command_that_fails_or_hangs_is_told_with_its_last_words() {
    let guest = Guest::serve("");
    let wait =
        |command: &str| guest.home.run(&["wait", "vm", "--timeout", "2", "--for", &format!("cmd={command}")]);
    let ran = wait("echo so far; printf 'not \\033[31myet\\n' >&2; exit 7");
    assert_eq!(ran.code, 5, "{}", ran.err);
    assert!(ran.err.contains("exit code 7: not yet)"), "{}", ran.err);
    assert!(!ran.err.contains('\u{1b}'), "raw: {:?}", ran.err);
    let ran = wait("sleep 30");
    assert_eq!(ran.code, 5, "{}", ran.err);
    assert!(ran.err.contains("did not end in time"), "{}", ran.err);
    // It has no input to wait for.
    assert_eq!(wait("! read -r line").code, 0);
}

#[test]
fn several_at_once_with_one_deadline() {
    let fleet = Fleet::new();
    let file = fleet.home.dir().join("file").display().to_string();
    let child = start(&fleet.home, &["a", "b", "c", "--for", "ready", "--for", &format!("file={file}")]);
    std::fs::write(&file, "").unwrap();
    let ran = finish(child);
    assert_eq!(ran.code, 0, "{}", ran.err);
    for name in ["a", "b", "c"] {
        assert!(ran.err.contains(&format!("{name}: file={file}, after")), "{}", ran.err);
    }
    let dead = portpicker::pick_unused_port().unwrap();
    fleet.adopt("dead", dead, &["--no-check"]);
    let ran = fleet.home.run(&["wait", "a", "dead", "--timeout", "2", "--for", &format!("file={file}")]);
    assert_eq!(ran.code, 5, "{}", ran.err);
    assert!(ran.err.contains("a: file=") && ran.err.contains("`dead` could not be reached"), "{}", ran.err);
    let ran = fleet.home.run(&["wait", "a", "--for", "stopped", "--timeout", "1"]);
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(ran.err.contains("run by something else"), "{}", ran.err);
}

#[test]
fn a_guest_that_comes_back_is_asked_again() {
    let mut guest = Guest::serve("");
    let file = guest.home.dir().join("file");
    let tries = guest.home.dir().join("tries");
    let command = format!("cmd=echo x >> {}; test -e {}", tries.display(), file.display());
    let child = start(&guest.home, &["vm", "--for", &command]);
    let deadline = std::time::Instant::now() + PATIENCE;
    while !tries.exists() {
        assert!(std::time::Instant::now() < deadline, "the command was not tried");
        std::thread::sleep(Duration::from_millis(10));
    }
    guest.pull_the_plug();
    std::fs::write(&file, "").unwrap();
    guest.start_server("");
    let ran = finish(child);
    assert_eq!(ran.code, 0, "{}", ran.err);
}

#[test]
fn ready_and_stopped() {
    let mut guest = Guest::serve("");
    assert!(guest.home.ok(&["wait", "vm", "--for", "ready"]).err.contains("vm: ready, after"));
    let ran = guest.home.run(&["wait", "vm", "--for", "stopped", "--timeout", "1"]);
    assert_eq!(ran.code, 5, "{}", ran.err);
    assert!(ran.err.contains("still runs"), "{}", ran.err);
    let child = start(&guest.home, &["vm", "--for", "port=1"]);
    let stopped = start(&guest.home, &["vm", "--for", "stopped"]);
    detached::find_by_stdin(&guest.file(VmDir::RUN_LOCK)).unwrap().kill().unwrap();
    assert_eq!(finish(stopped).code, 0);
    guest.pull_the_plug();
    // What is waited for in a VM that has ended never comes.
    let ran = finish(child);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("stopped") || ran.err.contains("ended"), "{}", ran.err);
    // With a real QEMU.
    let home = Home::new();
    machine::create(&home);
    home.ok(&["wait", "vm", "--for", "stopped", "--timeout", "1"]);
    machine::start(&home);
    assert_eq!(home.run(&["wait", "vm", "--for", "stopped", "--timeout", "1"]).code, 5);
    let child = start(&home, &["vm", "--stopped"]);
    home.ok(&["stop", "--force", "vm"]);
    assert_eq!(finish(child).code, 0);
}

#[test]
fn what_cannot_be_waited_for_is_not_understood() {
    let home = Home::new();
    for args in [
        &["--for", "nonsense"][..],
        &["--for", "port=0"],
        &["--for", "file="],
        &["--for", "stopped", "--for", "port=1"],
        &["--stopped", "--for", "ready"],
    ] {
        let ran = home.run(&[&["wait", "vm"], args].concat());
        assert_eq!(ran.code, 2, "{args:?}: {}", ran.err);
    }
    assert_eq!(home.run(&["wait", "nobody", "--for", "port=1"]).code, 3);
}

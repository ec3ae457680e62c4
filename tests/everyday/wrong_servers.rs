//! Servers on the port of a VM that are not its own, say nothing, or go away.

use std::net::{Ipv4Addr, TcpListener};
use std::process::Stdio;
use std::time::{Duration, Instant};

use ai_vm::host::layout::Identity;

use crate::home::wait;
use crate::sshd::Guest;

#[test]
fn another_servers_key_is_refused_before_any_login() {
    let guest = Guest::serve("");
    let other = ai_vm::ssh::keys::generate("other").unwrap();
    std::fs::write(guest.file(Identity::HOST_PUBLIC_KEY), other.public).unwrap();
    for verb in [vec!["exec", "vm", "--", "true"], vec!["shell", "vm"], vec!["wait", "vm"]] {
        let ran = guest.home.run(&verb);
        assert_eq!(ran.code, if verb[0] == "wait" { 4 } else { 125 }, "{}", ran.err);
        assert!(ran.err.contains("another host key"), "{}", ran.err);
    }
    let said = guest.server_says();
    assert!(said.contains("Connection from"), "{said}");
    for word in ["userauth", "Accepted", "Failed", "publickey", "user "] {
        assert!(!said.contains(word), "the server heard about `{word}`: {said}");
    }
}

#[test]
fn a_server_that_says_nothing_is_given_up_in_time() {
    let guest = Guest::silent();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, guest.port)).unwrap();
    let start = Instant::now();
    let ran = guest.home.run(&["exec", "--timeout", "2", "vm", "--", "true"]);
    assert_eq!(ran.code, 125, "{}", ran.err);
    assert!(ran.err.contains("was not ready within 2 s"), "{}", ran.err);
    assert!(start.elapsed() < Duration::from_secs(5), "it took {:?}", start.elapsed());
    drop(listener);
}

#[test]
fn a_server_that_knows_another_key_of_ours_is_given_up_in_time() {
    let guest = Guest::serve("AuthorizedKeysFile none");
    std::fs::write(guest.file(Identity::LOGIN_PUBLIC_KEY), "").unwrap();
    let ran = guest.home.run(&["exec", "--timeout", "2", "vm", "--", "true"]);
    assert_eq!(ran.code, 125);
    assert!(ran.err.contains("refuses the login"), "{}", ran.err);
}

#[test]
fn a_lost_connection_is_255() {
    let mut guest = Guest::serve("");
    let begun = guest.home.dir().join("begun");
    let script = format!("echo out; : > {}; sleep 1000", begun.display());
    let mut command = guest.home.command(&["exec", "vm", "--", "sh", "-c", &script]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while !begun.exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    guest.pull_the_plug();
    let ran = wait(child, Duration::from_secs(30), "exec");
    assert_eq!((ran.code, ran.out.as_str()), (255, "out\n"));
    assert!(ran.err.contains("the connection to the VM was lost"), "{}", ran.err);
    assert!(ran.err.contains("ai-vm info vm") && ran.err.contains("ai-vm logs vm"), "{}", ran.err);
}

#[test]
fn a_guest_of_another_boot_is_not_taken_for_this_one() {
    let guest = Guest::serve("");
    std::fs::remove_file(guest.file("ready")).unwrap();
    // The server lets us in, but there is no marker of this boot.
    let ran = guest.home.run(&["exec", "--timeout", "2", "vm", "--", "true"]);
    assert_eq!(ran.code, 125);
    assert!(ran.err.contains("has not finished its set-up"), "{}", ran.err);
}

#[test]
fn a_vm_that_dies_while_it_is_waited_for_is_told_at_once() {
    let guest = Guest::silent();
    let command = &mut guest.home.command(&["exec", "vm", "--", "true"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    std::fs::write(guest.file("qemu.log"), "qemu-system-x86_64: the moon is full\n").unwrap();
    ai_vm::host::detached::find_by_stdin(&guest.file("run.lock")).unwrap().kill().unwrap();
    let ran = wait(child, Duration::from_secs(10), "exec");
    assert_eq!(ran.code, 125);
    assert!(ran.err.contains("QEMU ended") && ran.err.contains("the moon is full"), "{}", ran.err);
}

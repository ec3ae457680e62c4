//! Guests that are forwarded to and from, or waited for, and say what they like about it.

use std::fmt::Write;

use crate::server::{Act, run, serve};
use crate::victim::Victim;

/// A table in which these ports are listened on.
fn table(ports: impl Iterator<Item = u16>) -> String {
    let mut text = ports.fold(String::new(), |mut text, port| {
        writeln!(
            text,
            "   0: 00000000:{port:04X} 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1 1"
        )
        .unwrap();
        text
    });
    text.push_str(".\n");
    text
}

#[test]
fn one_that_claims_to_listen_on_everything_gets_a_few_ports() {
    let server = serve(run(|handle, id| async move {
        for round in 0..300u16 {
            // Privileged ones, so that nobody's ports here are taken.
            let _ = handle.data(id, table((1..1000).filter(|port| port % 7 != round % 7))).await;
            let _ = handle.data(id, "\u{1b}[31m\u{202e}".repeat(10_000)).await;
            let _ = handle.data(id, "\n").await;
        }
        let bye = russh::Disconnect::ByApplication;
        let _ = handle.disconnect(bye, String::new(), String::new()).await;
    }));
    let victim = Victim::of(server.port, &server.host);
    let ran = victim.run(&["forward", "vm", "--auto"]);
    assert_eq!((ran.code, ran.out.as_str()), (255, ""), "{}", ran.err);
    let count = |words: &str| ran.err.lines().filter(|line| line.starts_with(words)).count();
    let (opened, closed) = (count("forwarding 127.0.0.1:"), count("no longer forwarding"));
    assert!(opened >= 1 && opened - closed <= 64, "{opened} were opened, {closed} closed: {}", ran.err);
    // A look a second, however often it says something else.
    assert!(opened < 1000, "{opened} were opened: {}", ran.err);
    assert_eq!(count("warning: vm listens on many ports"), 1, "{}", ran.err);
    assert!(!ran.err.contains(['\u{1b}', '\u{202e}']), "{:?}", ran.err);
}

#[test]
fn one_that_does_not_tell_what_it_listens_on() {
    let server = serve(run(|handle, id| async move {
        let _ = handle.exit_status_request(id, 0).await;
        let _ = handle.eof(id).await;
        let _ = handle.close(id).await;
    }));
    let victim = Victim::of(server.port, &server.host);
    let ran = victim.run(&["forward", "vm", "--auto"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("does not say what it listens on") && ran.err.contains("hint:"), "{}", ran.err);
    let refuses = serve(Act::RefuseCommand);
    let ran = Victim::of(refuses.port, &refuses.host).run(&["forward", "vm", "--auto"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
}

#[test]
fn a_flood_of_arrivals_reaches_only_what_it_is_for() {
    let server = serve(Act::Arrive(3000));
    let victim = Victim::of(server.port, &server.host);
    let nobody = victim.home.dir().join("nobody").display().to_string();
    let ran = victim.run(&["forward", "vm", "-R", &format!("auto:{nobody}")]);
    assert_eq!(ran.code, 255, "{}", ran.err);
    assert!(ran.err.contains(&format!("forwarding vm:4711 -> {nobody}")), "{}", ran.err);
    assert_eq!(ran.err.matches("No such file").count(), 1, "{}", ran.err);
}

#[test]
fn what_a_command_says_that_is_waited_for_is_bounded_and_harmless() {
    let server = serve(run(|handle, id| async move {
        for _ in 0..200 {
            let _ = handle.data(id, "\u{1b}[31mnot yet\u{202e} \u{7}".repeat(2000)).await;
        }
        let _ = handle.exit_status_request(id, 3).await;
        let _ = handle.eof(id).await;
        let _ = handle.close(id).await;
    }));
    let victim = Victim::of(server.port, &server.host);
    let ran = victim.run(&["wait", "vm", "--timeout", "2", "--for", "cmd=x"]);
    assert_eq!((ran.code, ran.out.as_str()), (5, ""), "{}", ran.err);
    assert!(ran.err.contains("exit code 3: ") && ran.err.len() < 1000, "{}", ran.err);
    assert!(!ran.err.contains(['\u{1b}', '\u{202e}', '\u{7}']), "{:?}", ran.err);
    for act in [
        Act::IgnoreChannel,
        Act::RefuseChannel,
        Act::IgnoreCommand,
        Act::RefuseCommand,
        Act::HangUpAfterLogin,
    ] {
        let server = serve(act);
        let victim = Victim::of(server.port, &server.host);
        for condition in ["port=80", "file=/x", "cmd=x"] {
            let ran = victim.run(&["wait", "vm", "--timeout", "2", "--for", condition]);
            assert_eq!(ran.code, 5, "{condition}: {}", ran.err);
        }
    }
}

//! Servers that show the right key and then go away, or fall silent, at one stage after the other.

use std::time::Duration;

use crate::home::Ran;
use crate::server::{Act, Server, run, serve};
use crate::victim::Victim;

fn victim(act: Act) -> (Server, Victim) {
    let server = serve(act);
    let victim = Victim::of(server.port, &server.host);
    (server, victim)
}

/// Runs a command on a connection of its own and on a warm one, and sees that both end in the same way.
fn both(victim: &Victim, check: impl Fn(&str, &Ran)) {
    for flags in [&["--no-mux"][..], &[]] {
        let ran = victim.run(&[&["exec"], flags, &["--timeout", "2", "vm", "--", "true"]].concat());
        check(&format!("{flags:?}: {}", ran.err), &ran);
    }
}

#[test]
fn hanging_up_at_the_login() {
    victim(Act::HangUpAtLogin).1.is_turned_away("broke during the login", 5);
}

#[test]
fn silence_at_the_login() {
    victim(Act::IgnoreLogin).1.is_turned_away("did not finish the login in time", 5);
}

#[test]
fn a_refusal_behind_a_large_banner() {
    for length in [0, 200_000] {
        let (_server, victim) = victim(Act::Refuse(length));
        victim.is_turned_away("refuses the login", 5);
    }
}

#[test]
fn hanging_up_after_the_login() {
    both(&victim(Act::HangUpAfterLogin).1, |about, ran| {
        // It may look as if the login had broken, or the connection after it; nothing has run in either case, but a
        // command that was handed over may have.
        assert!([125, 255].contains(&ran.code), "{about}");
        assert!(ran.err.contains("broke during the login") || ran.err.contains("was lost"), "{about}");
    });
}

#[test]
fn silence_instead_of_a_channel() {
    let (_server, victim) = victim(Act::IgnoreChannel);
    both(&victim, |about, ran| {
        assert_eq!(ran.code, 125, "{about}");
        assert!(ran.err.contains("did not begin to run the command in time"), "{about}");
    });
    // The login itself works.
    assert_eq!(victim.home.state(), "running");
}

#[test]
fn no_channel_for_us() {
    both(&victim(Act::RefuseChannel).1, |about, ran| {
        assert_eq!(ran.code, 125, "{about}");
        assert!(ran.err.contains("refuses to run a command"), "{about}");
    });
}

#[test]
fn hanging_up_when_told_to_run() {
    both(&victim(Act::HangUpAtCommand).1, |about, ran| {
        // It may have run.
        assert_eq!(ran.code, 255, "{about}");
        assert!(ran.err.contains("was lost"), "{about}");
    });
}

#[test]
fn silence_when_told_to_run() {
    let (_server, victim) = victim(Act::IgnoreCommand);
    both(&victim, |about, ran| {
        assert_eq!(ran.code, 125, "{about}");
        assert!(ran.err.contains("did not begin to run the command in time"), "{about}");
    });
    let ran = victim.run(&["shell", "--timeout", "2", "vm"]);
    assert_eq!(ran.code, 125, "{}", ran.err);
}

#[test]
fn a_server_that_runs_nothing() {
    both(&victim(Act::RefuseCommand).1, |about, ran| {
        assert_eq!(ran.code, 125, "{about}");
        assert!(ran.err.contains("refuses to run a command"), "{about}");
    });
}

#[test]
fn hanging_up_while_it_runs() {
    let act = run(|handle, id| async move {
        let _ = handle.data(id, "half").await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        let _ = handle.disconnect(russh::Disconnect::ByApplication, "bye".into(), String::new()).await;
    });
    both(&victim(act).1, |about, ran| {
        assert_eq!((ran.code, ran.out.as_str()), (255, "half"), "{about}");
        assert!(ran.err.contains("was lost"), "{about}");
    });
}

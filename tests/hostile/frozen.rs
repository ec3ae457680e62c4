//! A real server that stops in the middle of it all, as a machine does whose power or network has gone: nothing is said
//! any more, and nothing is taken.

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::home::wait;
use crate::memory::Watch;
use crate::pty::Pty;
use crate::server::{Act, serve};
use crate::sshd::Guest;
use crate::victim::Victim;

/// How long it may take until such a server is given up: a minute, and something for a busy machine.
const GIVEN_UP: Duration = Duration::from_secs(75);

/// Starts a command that makes the file `name` when it runs, and waits for that.
fn begun(guest: &Guest, flags: &[&str], name: &str, script: &str, stdin: Stdio) -> Child {
    let mark = guest.home.dir().join(name);
    let script = format!(": > {}; {script}", mark.display());
    let mut command = guest.home.command(&[&["exec"], flags, &["vm", "--", "sh", "-c", &script]].concat());
    let child = command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while !mark.exists() {
        assert!(Instant::now() < deadline, "{name} did not begin");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

#[test]
fn it_is_given_up_within_a_minute_whatever_is_under_way() {
    let guest = Guest::serve("");
    let zero = || Stdio::from(File::open("/dev/zero").unwrap());
    let running = [
        ("quiet", begun(&guest, &["--no-mux"], "quiet", "sleep 1000", Stdio::null())),
        ("quiet and shared", begun(&guest, &[], "shared", "sleep 1000", Stdio::null())),
        ("writing", begun(&guest, &["--no-mux"], "writing", "cat > /dev/null", zero())),
        ("writing and shared", begun(&guest, &[], "writing-shared", "cat > /dev/null", zero())),
    ];
    let told = begun(&guest, &["--no-mux"], "told", "cat > /dev/null", zero());
    let mut shell = Pty::run(&guest.home.command(&["shell", "vm"]));
    shell.type_keys("echo be''gin\r");
    shell.expect("begin");
    assert!(!shell.is_cooked());
    guest.server.as_ref().unwrap().signal("STOP");
    // Such a connection can still be left at once: the second of two signals gives up.
    for _ in 0..2 {
        std::thread::sleep(Duration::from_millis(500));
        interrupt(&told);
    }
    assert_eq!(wait(told, Duration::from_secs(20), "told to end").code, 130);
    std::thread::scope(|scope| {
        for (about, child) in running {
            scope.spawn(move || {
                let ran = wait(child, GIVEN_UP, about);
                assert_eq!(ran.code, 255, "{about}: {}", ran.err);
                assert!(ran.err.contains("the connection to the VM was lost"), "{about}: {}", ran.err);
            });
        }
    });
    assert_eq!(shell.exit_code(), 255);
    assert!(shell.is_cooked(), "the terminal was not put back");
    assert!(shell.screen().contains("the connection to the VM was lost"), "{}", shell.screen());
}

#[test]
fn one_that_lets_us_send_and_takes_nothing_is_given_up_too() {
    let server = serve(Act::GoDeaf);
    let victim = Victim::of(server.port, &server.host);
    let start = |flags: &[&str]| {
        let mut command = victim.home.command(&[&["exec"], flags, &["vm", "--", "cat"]].concat());
        command.stdin(File::open("/dev/zero").unwrap()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        (Watch::on(&child), child)
    };
    let running = [("own", start(&["--no-mux"])), ("shared", start(&[]))];
    // A connection that is full, on which a request for a sign of life cannot even be sent, can still be left at once.
    let (memory, told) = start(&["--no-mux"]);
    for _ in 0..2 {
        std::thread::sleep(Duration::from_secs(1));
        interrupt(&told);
    }
    assert_eq!(wait(told, Duration::from_secs(20), "told to end").code, 130);
    memory.check("told to end");
    std::thread::scope(|scope| {
        for (about, (memory, child)) in running {
            scope.spawn(move || {
                let ran = wait(child, GIVEN_UP, about);
                assert_eq!(ran.code, 255, "{about}: {}", ran.err);
                memory.check(about);
            });
        }
    });
}

fn interrupt(child: &Child) {
    assert!(Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status().unwrap().success());
}

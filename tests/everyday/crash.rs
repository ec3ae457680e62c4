//! `kill -9` of the command line at its system calls: `ls` goes on working, the same command again completes, nothing is
//! left over. strace delivers the kill on entry to the Nth call that touches a file or a process.
//!
//! A bounded number of points is tried; `AI_VM_CRASH_POINTS=all` tries every one.

use std::process::Command;
use std::time::Duration;

use crate::home::{Home, Ran, finish};
use crate::machine;
use crate::processes;

/// The calls that change something outside of the process, or find out what is there.
const CALLS: &str = "%file,%process,write,pwrite64,fsync,flock,ftruncate,fallocate,sendto,copy_file_range";

/// How far the points lie apart that are tried. Each command makes some 80 calls.
const STRIDE: usize = 4;

/// Runs the binary and kills it at its call number `point`; tells whether it got that far.
pub fn kill_at(home: &Home, point: usize, args: &[&str]) -> bool {
    let settings = home.command(args);
    let mut command = Command::new("strace");
    // QEMU and other programs that the binary starts are let go.
    command.args(["-f", "-qqq", "-b", "execve", "-o", "/dev/null", "-e", "signal=none", "-e"]);
    command.arg(format!("inject={CALLS}:signal=SIGKILL:when={point}"));
    command.arg(settings.get_program()).args(settings.get_args());
    command.envs(settings.get_envs().filter_map(|(name, value)| value.map(|value| (name, value))));
    let Ran { code, err, .. } = finish(command, Duration::from_secs(60));
    assert!(code == 0 || code == 137, "{args:?} killed at {point}: {code}: {err}");
    code == 137
}

/// Kills a command at many points. `before` brings about what it works on; afterwards `after` has to hold.
fn sweep(args: &[&str], before: impl Fn(&Home), after: impl Fn(&Home, &str)) {
    let home = Home::new();
    let every_point = std::env::var("AI_VM_CRASH_POINTS").is_ok_and(|points| points == "all");
    let step = if every_point { 1 } else { STRIDE };
    let (mut point, mut tried) = (1, 0);
    loop {
        before(&home);
        let killed = kill_at(&home, point, args);
        let about = format!("{args:?} killed at call {point}");
        check(&home, &about);
        let again = home.run(args);
        // What the first run had completed is no news to the second.
        let complete: &[i32] = match args[0] {
            "create" => &[0, 4],
            "rm" => &[0, 3],
            "port" if args[1] == "rm" => &[0, 3],
            _ => &[0],
        };
        assert!(complete.contains(&again.code), "{about}, and again: {}", again.err);
        after(&home, &about);
        home.run(&["rm", "--force", "vm"]);
        check(&home, &about);
        assert!(home.list().is_empty() && processes::running(&home).is_empty(), "{about}");
        let left: Vec<_> = std::fs::read_dir(home.data().join("staging")).unwrap().flatten().collect();
        assert!(left.is_empty(), "{about} left {left:?}");
        tried += 1;
        if !killed {
            break;
        }
        point += step;
    }
    assert!(tried > 8, "strace did not kill: only {tried} points");
}

/// What has to hold at any moment.
fn check(home: &Home, about: &str) {
    let ran = home.run(&["ls", "--json"]);
    assert_eq!(ran.code, 0, "{about}: {}", ran.err);
    for (pid, dir) in processes::running(home) {
        assert!(dir.join("vm.toml").exists(), "{about}: QEMU {pid} has no record in {}", dir.display());
    }
}

fn create(home: &Home, flags: &[String]) {
    home.ok(&[&["create", "vm"], words(flags).as_slice()].concat());
}

fn words(flags: &[String]) -> Vec<&str> {
    flags.iter().map(String::as_str).collect()
}

#[test]
fn create_is_all_or_nothing() {
    let image = Home::new();
    let flags = machine::empty(&image);
    let args = [&["create", "vm"], words(&flags).as_slice()].concat();
    sweep(&args, |_| {}, |home, about| assert_eq!(home.state(), "stopped", "{about}"));
}

#[test]
fn start_can_be_repeated() {
    let image = Home::new();
    let flags = machine::empty(&image);
    sweep(
        &["start", "--no-wait", "vm"],
        |home| create(home, &flags),
        |home, about| {
            assert_eq!(home.state(), "starting", "{about}");
            machine::pid(home);
        },
    );
}

#[test]
fn stop_can_be_repeated() {
    let image = Home::new();
    let flags = machine::empty(&image);
    sweep(
        &["stop", "--force", "vm"],
        |home| {
            create(home, &flags);
            machine::start(home);
        },
        |home, about| {
            assert_eq!(home.state(), "stopped", "{about}");
            assert!(processes::running(home).is_empty(), "{about}");
        },
    );
}

#[test]
fn rm_is_all_or_nothing() {
    let image = Home::new();
    let flags = machine::empty(&image);
    sweep(
        &["rm", "--force", "vm"],
        |home| {
            create(home, &flags);
            machine::start(home);
        },
        |home, about| assert!(home.list().is_empty(), "{about}"),
    );
}

#[test]
fn port_add_can_be_repeated() {
    let image = Home::new();
    let flags = machine::empty(&image);
    let port = portpicker::pick_unused_port().unwrap();
    sweep(
        &["port", "add", "vm", &format!("{port}:80")],
        |home| {
            create(home, &flags);
            machine::start(home);
        },
        |home, about| {
            assert_eq!(home.list()[0]["ports"][1]["host"], port, "{about}");
            assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok(), "{about}");
        },
    );
}

#[test]
fn port_rm_can_be_repeated() {
    let image = Home::new();
    let flags = machine::empty(&image);
    let port = portpicker::pick_unused_port().unwrap();
    sweep(
        &["port", "rm", "vm", &port.to_string()],
        |home| {
            create(home, &[flags.as_slice(), &["-p".to_owned(), format!("{port}:80")]].concat());
            machine::start(home);
        },
        |home, about| {
            assert_eq!(home.list()[0]["ports"].as_array().unwrap().len(), 1, "{about}");
            assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err(), "{about}");
        },
    );
}

//! A command runs there as if it ran here: argv, streams, exit code, signals.

use std::io::Write;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::home::{Ran, finish, wait};
use crate::sshd::Guest;

const PATIENCE: Duration = Duration::from_secs(60);

fn exec(guest: &Guest, argv: &[&str]) -> Ran {
    guest.home.run(&[&["exec", "vm", "--"], argv].concat())
}

#[test]
fn every_exit_code_arrives() {
    let guest = Guest::serve("");
    std::thread::scope(|scope| {
        let guest = &guest;
        for worker in 0..4 {
            scope.spawn(move || {
                for code in (worker..256).step_by(4) {
                    let ran = exec(guest, &["sh", "-c", &format!("exit {code}")]);
                    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (code, "", ""));
                }
            });
        }
    });
}

#[test]
fn streams_stay_apart_and_end() {
    let guest = Guest::serve("");
    let mut command = guest.home.command(&["exec", "vm", "--", "sh", "-c", "cat; echo err >&2"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // No line end: nothing waits for one.
    child.stdin.take().unwrap().write_all(b"in").unwrap();
    let ran = wait(child, PATIENCE, "cat");
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "in", "err\n"));
}

#[test]
fn ten_megabytes_pass_unchanged_both_ways() {
    let guest = Guest::serve("");
    let file = guest.home.dir().join("bytes");
    let mut state = 1u32;
    let bytes: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(10 << 20)
    .collect();
    std::fs::write(&file, &bytes).unwrap();
    let back = guest.home.dir().join("back");
    let mut command = guest.home.command(&["exec", "vm", "--", "cat"]);
    command.stdin(std::fs::File::open(&file).unwrap()).stdout(std::fs::File::create(&back).unwrap());
    assert!(command.status().unwrap().success());
    assert!(std::fs::read(&back).unwrap() == bytes, "the bytes came back changed");
}

#[test]
fn argv_arrives_exactly_through_any_login_shell() {
    let corpus = [
        "",
        " ",
        "a b",
        "'",
        "\"",
        "\\",
        "$HOME",
        "`id`",
        "$(id)",
        "!!",
        "*",
        "~",
        "#",
        "-n",
        "--",
        "a\nb",
        "\t",
        "ä€😀",
        "a;b",
        "&",
        "|",
        ">x",
        "{a,b}",
        "%s",
        "(x)",
        "\u{1b}[31m",
        "\\n",
        "a\\",
    ];
    let expected: String = corpus.iter().map(|arg| format!("{arg}\0")).collect();
    for shell in ["bash", "dash", "fish"] {
        // What a login shell gets is `-c` and the command, which is what this does.
        let guest = Guest::serve(&format!("ForceCommand exec {shell} -c \"$SSH_ORIGINAL_COMMAND\""));
        let ran = exec(&guest, &[&["printf", "%s\\0"], corpus.as_slice()].concat());
        assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, expected.as_str(), ""), "{shell}");
        let ran =
            guest.home.run(&["exec", "-e", "X=a 'b'", "-C", "/usr", "vm", "--", "sh", "-c", "echo $X; pwd"]);
        assert_eq!((ran.code, ran.out.as_str()), (0, "a 'b'\n/usr\n"), "{shell}: {}", ran.err);
        let ran = exec(&guest, &["no-such-command"]);
        assert_eq!(ran.code, 127, "{shell}: {}", ran.err);
    }
}

/// Starts a command and waits until it has said `up`.
fn running(guest: &Guest, script: &str) -> Child {
    let ready = guest.home.dir().join("ready");
    let script = format!("{script}; : > {}; sleep 100 & wait $!", ready.display());
    let mut command = guest.home.command(&["exec", "vm", "--", "sh", "-c", &script]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = std::time::Instant::now() + PATIENCE;
    while !ready.exists() {
        assert!(std::time::Instant::now() < deadline, "the command did not begin");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

fn signal(child: &Child, name: &str) {
    let sent = std::process::Command::new("kill").args(["-s", name, &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
}

#[test]
fn a_second_signal_gives_up() {
    let guest = Guest::serve("");
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let child = running(&guest, &format!("trap '' {name}"));
        signal(&child, name);
        // The first one has to be seen as such before the second comes.
        std::thread::sleep(Duration::from_millis(200));
        signal(&child, name);
        assert_eq!(wait(child, PATIENCE, name).code, code);
        std::fs::remove_file(guest.home.dir().join("ready")).unwrap();
    }
}

#[test]
fn who_is_told_to_end_ends_even_if_the_command_does_not() {
    let guest = Guest::serve("");
    let child = running(&guest, "trap '' TERM");
    signal(&child, "TERM");
    assert_eq!(wait(child, Duration::from_secs(20), "TERM").code, 143);
}

#[test]
fn death_by_a_signal_is_told_as_a_shell_does() {
    let guest = Guest::serve("");
    for (name, code) in [("KILL", 137), ("TERM", 143), ("SEGV", 139), ("ABRT", 134)] {
        let ran = exec(&guest, &["sh", "-c", &format!("ulimit -c 0; kill -{name} $$")]);
        assert_eq!(ran.code, code, "{name}");
    }
}

#[test]
fn a_command_without_readers_or_writers_runs_too() {
    let guest = Guest::serve("");
    let line = format!("{} exec vm -- sh -c 'exit 7' <&- >&- 2>&-", env!("CARGO_BIN_EXE_ai-vm"));
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &line]).env("AI_VM_HOME", guest.home.data()).env("HOME", guest.home.dir());
    assert_eq!(finish(shell, PATIENCE).code, 7);
}

#[test]
fn too_much_argv_is_refused_before_anything_runs() {
    let guest = Guest::serve("");
    let ran = exec(&guest, &["echo", &"x".repeat(70_000), &"y".repeat(70_000)]);
    assert_eq!(ran.code, 125);
    assert!(ran.err.contains("hint:"), "{}", ran.err);
    assert!(!guest.server_says().contains("Accepted"));
}

//! The steps for a person (`tests/manual-test.sh`): what it asks, what it makes of the answers.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::home::{Home, Ran, finish};
use crate::pty::Pty;

/// The script with its arguments.
fn script(args: &[&str]) -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manual-test.sh"));
    command.args(args).env("AI_VM", env!("CARGO_BIN_EXE_ai-vm"));
    command
}

/// Runs it with lines of answers on stdin.
fn answered(args: &[&str], answers: &str) -> Ran {
    let home = Home::new();
    let file = home.dir().join("answers");
    std::fs::write(&file, answers).unwrap();
    let mut command = script(args);
    command.stdin(Stdio::from(std::fs::File::open(file).unwrap()));
    finish(command, Duration::from_secs(60))
}

/// The results in the table at the end, by step.
fn table(out: &str) -> Vec<Vec<&str>> {
    let rows = out.split("STEP           RESULT  NOTE\n").nth(1).unwrap_or_else(|| panic!("no table: {out}"));
    rows.lines().map(|row| row.split_whitespace().collect()).collect()
}

#[test]
fn every_step_says_what_it_needs_what_to_type_and_what_to_see() {
    let listed = answered(&["--list"], "");
    assert_eq!((listed.code, listed.err.as_str()), (0, ""));
    let steps: Vec<&str> = listed.out.split("\n\n").collect();
    assert!(steps.len() > 15, "{}", listed.out);
    for step in steps {
        for part in ["  needs: ", "  $ ", "  see: "] {
            assert!(step.contains(part), "{part:?} is missing in: {step}");
        }
    }
}

#[test]
fn a_failure_is_told_with_its_note_and_by_the_exit_code() {
    let ran = answered(&["kvm", "gtk", "sound"], "p\nf\nno window\nwhat?\ns\n");
    assert_eq!(ran.code, 1, "{}", ran.out);
    let expected =
        vec![vec!["kvm", "passed"], vec!["gtk", "failed", "no", "window"], vec!["sound", "skipped"]];
    assert_eq!(table(&ran.out), expected);
}

#[test]
fn what_was_not_come_to_is_no_success() {
    for (answers, code) in [("p\ns\n", 0), ("p\nq\n", 3), ("p\n", 3), ("", 3)] {
        let ran = answered(&["kvm", "gtk"], answers);
        assert_eq!(ran.code, code, "{answers:?}: {}", ran.out);
        assert_eq!(table(&ran.out).len(), 2);
    }
    assert_eq!(table(&answered(&["kvm", "gtk"], "p\n").out)[1], ["gtk", "open"]);
    let unknown = answered(&["gkt"], "");
    assert_eq!(unknown.code, 2);
    assert!(unknown.err.contains("`gkt` is no step; there are: kvm "), "{}", unknown.err);
}

#[test]
fn a_step_is_run_in_the_terminal_with_the_ai_vm_that_is_named() {
    let home = Home::new();
    let mut command = script(&["killed"]);
    command.env("AI_VM_HOME", home.data()).env("HOME", home.dir());
    let mut pty = Pty::run(&command);
    pty.expect("[q]uit? ");
    pty.type_keys("r\n");
    pty.expect("there is no VM named `manual-kvm`");
    pty.expect("(exit code 125)");
    pty.type_keys("p\n");
    pty.expect("killed         passed");
    assert_eq!(pty.exit_code(), 0);
}

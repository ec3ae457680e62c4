//! A launch without a verb, with a guest that boots: its console, its end, and the script that starts it again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::debian::BOOT;
use crate::home::Home;
use crate::pty::Pty;

/// One of two keys that end it: the first presses the power button, the second pulls the plug.
const CTRL_C: &str = "\u{3}";

fn folder(home: &Home, name: &str) -> PathBuf {
    let dir = home.dir().join(name);
    fs::create_dir(&dir).unwrap();
    dir
}

/// Runs a command in a terminal in a folder until the guest has logged its user in on the console, and is ready.
fn boot(command: &mut Command, dir: &Path) -> Pty {
    let pty = Pty::run(command.current_dir(dir));
    // Both come by themselves, in whichever order.
    for text in ["dev@x:~$", "x: ready in "] {
        drop(pty.wait_for(BOOT, |seen| seen.contains(text), text));
    }
    pty
}

/// Types a command at the console and waits for what it says.
fn at_console(pty: &mut Pty, command: &str, says: &str) {
    pty.type_keys(&format!("{command}\r"));
    pty.expect(says);
}

/// Presses Ctrl-C and waits until the guest has powered off.
fn power_off(mut pty: Pty) {
    pty.type_keys(CTRL_C);
    assert_eq!(pty.exit_code(), 0, "{}", pty.screen());
    assert!(pty.is_cooked());
    for said in ["x: stopping; Ctrl-C ends it at once", "x: stopped\r\n"] {
        assert!(pty.screen().contains(said), "no `{said}`: {}", pty.screen());
    }
}

pub fn runs_here_and_starts_again_from_anywhere(home: &Home) {
    let (project, elsewhere) = (folder(home, "project"), folder(home, "elsewhere"));
    let flags = ["--name", "x", "--ram", "1", "--user", "dev", "--no-default-ports", "--dir"];
    let mut pty = boot(&mut home.command(&flags), &project);
    assert!(pty.screen().contains("x: created, 1gb memory"), "{}", pty.screen());
    // Halves, so that it is not what was typed that is found.
    at_console(&mut pty, "echo kept > file; sync; echo wri''tten", "written");
    power_off(pty);
    assert!(project.join("x.qcow2").is_file(), "its disk is not in its folder");

    let mut script = Command::new(project.join("start-x.sh"));
    // Of its environment it needs nothing of ours.
    script.env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    let mut pty = boot(&mut script, &elsewhere);
    let screen = pty.screen();
    assert!(screen.contains("x: started, its console follows"), "{screen}");
    assert!(!screen.contains("created") && !screen.contains("making the image"), "{screen}");
    at_console(&mut pty, "cat file; hostname | tr a-z A-Z", "X\r\n");
    assert!(pty.screen().contains("kept\r\n"), "{}", pty.screen());
    // Everything else works meanwhile.
    assert_eq!(home.ok(&["exec", "x", "--", "cat", "file"]).out, "kept\n");
    power_off(pty);

    home.ok(&["rm", "x"]);
    for dir in [project, elsewhere] {
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0, "{} is not empty", dir.display());
    }
    assert!(!home.vm("x").exists());
}

pub fn forgets_what_was_written(home: &Home) {
    let dir = folder(home, "forgetful");
    let flags = ["-n", "x", "-r", "1", "--user", "dev", "--no-default-ports", "--overlay"];
    let mut pty = boot(&mut home.command(&flags), &dir);
    assert!(pty.screen().contains("every start begins with a clean disk"), "{}", pty.screen());
    at_console(&mut pty, "echo lost > file; sync; cat fi*", "lost\r\n");
    pty.type_keys(CTRL_C);
    pty.expect("stopping");
    pty.type_keys(CTRL_C);
    assert_eq!(pty.exit_code(), 130, "{}", pty.screen());

    let mut pty = boot(&mut Command::new(dir.join("start-x.sh")), &dir);
    at_console(&mut pty, "cat file; hostname | tr a-z A-Z", "X\r\n");
    assert!(pty.screen().contains("file: No such file"), "{}", pty.screen());
    power_off(pty);
    home.ok(&["rm", "x"]);
}

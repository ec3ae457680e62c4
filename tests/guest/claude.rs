//! The real Claude Code in a guest: it starts without a question, with what this machine has set it up with.

use std::fs;
use std::time::Duration;

use crate::debian::{VM, exec, sh};
use crate::home::{Home, finish};
use crate::pty::Pty;

/// A login that nobody has. Claude Code begins with it, and would ask for another only when it is used.
pub const LOGIN: &str = r#"{"claudeAiOauth":{"accessToken":"sk-ant-oat01-nobody","refreshToken":"sk-ant-ort01-nobody",
"expiresAt":4102444800000,"scopes":["user:inference","user:profile"],"subscriptionType":"max"}}"#;

/// What it would ask at a first start, and what it shows when it is ready. Words stand apart by cursor movements.
const QUESTIONS: [&str; 5] =
    ["Choosethetextstyle", "Doyoutrust", "Quicksafetycheck", "BypassPermissionsmode", "customAPIkey"];
const READY: &str = "bypasspermissionson";

pub fn starts_without_a_question(home: &Home) {
    let ran = exec(home, &["start-claude", "--version"]);
    assert!(ran.code == 0 && ran.out.contains("Claude Code"), "{} {}", ran.out, ran.err);

    // Without a login, and nobody there to log in; also for root, who becomes the VM's user.
    for user in ["dev", "root"] {
        let ran = home.run(&["exec", "-u", user, VM, "--", "start-claude", "-p", "hello"]);
        assert_eq!((ran.code, ran.out.as_str()), (77, ""), "{user}: {}", ran.err);
        assert!(
            ran.err.contains("there is no login for Claude here") && ran.err.contains("ai-vm creds set web")
        );
    }
    let ran = home.run(&[
        "exec",
        "-u",
        "root",
        "-e",
        "ANTHROPIC_API_KEY=sk-ant-api03-nobody",
        VM,
        "--",
        "start-claude",
        "mcp",
        "list",
    ]);
    assert!(ran.code == 0 && !ran.err.contains("root"), "{} {}", ran.out, ran.err);

    // In a folder that was never seen before, with settings of this machine that would ask.
    let here = home.dir().join(".claude");
    fs::create_dir_all(&here).unwrap();
    fs::write(here.join("settings.json"), r#"{"model": "opus", "disableBypassPermissionsMode": "disable"}"#)
        .unwrap();
    sh(home, "mkdir -p ~/.claude work && git init -q work");
    let login = home.dir().join("login");
    fs::write(&login, LOGIN).unwrap();
    home.ok(&["cp", login.to_str().unwrap(), &format!("{VM}:.claude/.credentials.json")]);
    let mut pty = Pty::run(&home.command(&["exec", "-C", "/home/dev/work", VM, "--", "start-claude"]));
    let screen = pty.wait(|seen| plain(seen).contains(READY), READY);
    for question in QUESTIONS {
        assert!(!plain(&screen).contains(question), "it asked `{question}`: {}", *screen);
    }
    drop(screen);
    // Twice ends it.
    pty.type_keys("\u{3}");
    pty.type_keys("\u{3}");
    let _ = pty.exit_code();
    let settings = sh(home, "cat ~/.claude/settings.json");
    assert!(settings.contains("opus") && !settings.contains("disable\""), "{settings}");
    let state = sh(
        home,
        "jq -c '[.hasCompletedOnboarding, .projects[\"/home/dev/work\"].hasTrustDialogAccepted]' ~/.claude.json",
    );
    assert_eq!(state, "[true,true]\n");
    sh(home, "rm -rf ~/.claude ~/.claude.json work");
    fs::remove_dir_all(&here).unwrap();
    // What it leaves running is its own to end.
    let gone = home.command(&["exec", VM, "--", "sh", "-c", "pkill -x claude; true"]);
    finish(gone, Duration::from_secs(60));
}

/// A screen without what moves the cursor, and without blanks.
pub fn plain(seen: &str) -> String {
    let mut text = String::new();
    let mut rest = seen.chars();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' => {
                if rest.next() == Some('[') {
                    let _ = rest.find(|c| ('\u{40}'..='\u{7e}').contains(c));
                }
            }
            c if c.is_whitespace() => {}
            c => text.push(c),
        }
    }
    text
}

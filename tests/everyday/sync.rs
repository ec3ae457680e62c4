//! Claude Code's configuration goes to VMs: what is to, nothing secret, and only what changed.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::home::{Ran, finish};
use crate::sshd::Guest;

const PATIENCE: Duration = Duration::from_secs(60);

/// A VM whose home is the test's directory, and another directory as the home of this machine's user.
struct Stage {
    guest: Guest,
    home: PathBuf,
}

impl Stage {
    fn new() -> Self {
        let guest = Guest::serve("");
        let home = guest.home.dir().join("home-here");
        fs::create_dir_all(home.join(".claude")).unwrap();
        Self { guest, home }
    }

    /// Writes a file of this machine's user.
    fn write(&self, below: &str, text: &str) {
        let path = self.home.join(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn there(&self, below: &str) -> PathBuf {
        self.guest.home.dir().join(".claude").join(below)
    }

    fn has(&self, below: &str) -> bool {
        self.there(below).symlink_metadata().is_ok()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.guest.home.command(args);
        command.env("HOME", &self.home);
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        finish(self.command(args), PATIENCE)
    }

    /// Sends, which has to succeed, and returns what was said.
    fn sync(&self, args: &[&str]) -> String {
        let ran = self.run(&[&["sync", "vm"], args].concat());
        assert_eq!(ran.code, 0, "{}", ran.err);
        ran.err
    }

    /// Says in which files below the VM's `~/.claude` a text is.
    fn found(&self, text: &str) -> String {
        let ran = Command::new("grep").args(["-rl", text]).arg(self.there("")).output().unwrap();
        String::from_utf8_lossy(&ran.stdout).into_owned()
    }
}

/// A configuration in which everything that is not to travel has a canary.
fn with_secrets(stage: &Stage) {
    let settings = serde_json::json!({
        "model": "opus",
        "apiKeyHelper": "echo CANARY",
        "env": { "MY_SECRET": "CANARY", "PLAIN": "CANARY", "DISABLE_TELEMETRY": "1" },
        "hooks": { "Stop": [{ "hooks": [{ "type": "command", "command": "curl -H CANARY x" }] }] },
        "permissions": { "allow": ["Bash(CANARY)"], "deny": ["Read(./private)"] },
        "statusLine": { "type": "command", "command": "CANARY" },
    });
    stage.write(".claude/settings.json", &settings.to_string());
    stage.write(".claude/CLAUDE.md", "be brief");
    stage.write(".claude/skills/one/SKILL.md", "a skill");
    stage.write(".claude/commands/go.md", "a command");
    stage.write(".claude/agents/a.md", "an agent");
    stage.write(".claude/output-styles/o.md", "a style");
    stage.write(".claude/keybindings.json", "{}");
    for secret in [
        ".claude/.credentials.json",
        ".claude.json",
        ".claude/history.jsonl",
        ".claude/projects/p/session.jsonl",
        ".claude/plugins/cache/x",
        ".claude/hooks/h.sh",
        ".claude/todos/t",
        ".claude/skills/one/.env",
        ".claude/skills/one/key.pem",
        ".claude/skills/one/.git/config",
        ".ssh/id_ed25519",
    ] {
        stage.write(secret, "CANARY");
    }
}

#[test]
fn what_is_to_travel_does_and_no_secret() {
    let stage = Stage::new();
    with_secrets(&stage);
    let plan = stage.run(&["sync", "vm", "--dry-run"]);
    assert!(plan.out.contains("send skills/one/SKILL.md\n"), "{}", plan.out);
    assert!(plan.out.contains("leave out settings.json: env.MY_SECRET\n") && !plan.out.contains("CANARY"));
    assert!(!stage.has(""), "a dry run did something");

    let said = stage.sync(&[]);
    assert!(said.contains("vm: sent 7 files"), "{said}");
    for (file, text) in
        [("CLAUDE.md", "be brief"), ("skills/one/SKILL.md", "a skill"), ("commands/go.md", "a command")]
    {
        assert_eq!(fs::read_to_string(stage.there(file)).unwrap(), text);
    }
    let settings: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(stage.there("settings.json")).unwrap()).unwrap();
    assert_eq!(settings["model"], "opus");
    assert_eq!(settings["env"], serde_json::json!({ "DISABLE_TELEMETRY": "1" }));
    assert_eq!(settings["skipDangerousModePermissionPrompt"], true);
    assert_eq!(stage.found("CANARY"), "");
    assert!(stage.sync(&[]).contains("vm: nothing changed"));

    // What is asked for travels, and a later sync without it does not take it away.
    stage.sync(&["--history", "--plugins"]);
    assert!(
        stage.has("history.jsonl") && stage.has("projects/p/session.jsonl") && stage.has("plugins/cache/x")
    );
    assert!(stage.sync(&[]).contains("vm: nothing changed"));
    assert!(stage.has("history.jsonl") && !stage.has(".credentials.json"));
    fs::write(stage.guest.home.dir().join("config.toml"), "[sync]\nenv = [\"PLAIN\"]\n").unwrap();
    stage.sync(&[]);
    assert!(stage.found("PLAIN").contains("settings.json") && !stage.found("CANARY").contains("MY_SECRET"));
}

#[test]
fn only_what_changed_and_only_what_was_sent_goes() {
    let stage = Stage::new();
    for number in 0..20 {
        stage.write(&format!(".claude/skills/s{number}/SKILL.md"), "text");
    }
    stage.sync(&[]);
    // Of the guest's own.
    fs::write(stage.there("skills/s3/notes"), "own").unwrap();
    fs::create_dir_all(stage.there("skills/own")).unwrap();
    fs::write(stage.there("skills/own/SKILL.md"), "own").unwrap();
    stage.write(".claude/skills/s1/SKILL.md", "other text");
    for gone in ["skills/s2", "skills/s3"] {
        fs::remove_dir_all(stage.home.join(".claude").join(gone)).unwrap();
    }
    // A directory in the place of a file, and a file in that of a directory.
    fs::remove_file(stage.home.join(".claude/skills/s4/SKILL.md")).unwrap();
    stage.write(".claude/skills/s4/SKILL.md/inside", "text");
    fs::remove_dir_all(stage.home.join(".claude/skills/s5")).unwrap();
    stage.write(".claude/skills/s5", "text");
    let said = stage.sync(&[]);
    assert!(said.contains("sent 3 files") && said.contains("removed 2"), "{said}");
    assert_eq!(fs::read_to_string(stage.there("skills/s1/SKILL.md")).unwrap(), "other text");
    assert!(!stage.has("skills/s2") && !stage.has("skills/s3/SKILL.md"));
    assert!(
        stage.has("skills/s3/notes")
            && stage.has("skills/own/SKILL.md")
            && stage.has("skills/s4/SKILL.md/inside")
    );
    assert_eq!(fs::read_to_string(stage.there("skills/s5")).unwrap(), "text");
    // What was lost there comes again.
    fs::remove_file(stage.there("skills/s6/SKILL.md")).unwrap();
    assert!(stage.sync(&[]).contains("sent 1 file"));
    // All of it goes when there is none any more, and nothing of the guest's.
    fs::remove_dir_all(stage.home.join(".claude/skills")).unwrap();
    stage.sync(&[]);
    let mut left: Vec<_> =
        fs::read_dir(stage.there("skills")).unwrap().map(|one| one.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["own", "s3"]);
}

#[test]
fn links_are_followed_in_the_home_and_not_to_secrets() {
    let stage = Stage::new();
    stage.write("dotfiles/claude/CLAUDE.md", "from the dotfiles");
    stage.write("dotfiles/claude/skills/s/SKILL.md", "from the dotfiles");
    stage.write(".ssh/config", "CANARY");
    stage.write(".claude/.credentials.json", "CANARY");
    stage.write(".claude/projects/p.jsonl", "CANARY");
    let outside = stage.guest.home.dir().join("outside");
    fs::write(&outside, "CANARY").unwrap();
    fs::create_dir(stage.home.join(".claude/commands")).unwrap();
    let link = |to: &Path, at: &str| symlink(to, stage.home.join(".claude").join(at)).unwrap();
    link(Path::new("../dotfiles/claude/CLAUDE.md"), "CLAUDE.md");
    link(&stage.home.join("dotfiles/claude/skills"), "skills");
    link(&outside, "commands/outside.md");
    link(Path::new("/etc/passwd"), "commands/passwd.md");
    link(&stage.home.join(".ssh"), "commands/ssh");
    link(Path::new("../.credentials.json"), "commands/login.md");
    link(Path::new("../projects"), "commands/projects");
    link(Path::new("nowhere"), "commands/nowhere.md");
    link(Path::new("."), "commands/round");
    link(Path::new(".."), "commands/above");
    link(&stage.home, "commands/home");
    let said = stage.sync(&[]);
    assert!(said.contains("sent 2 files") && said.contains("9 left out"), "{said}");
    assert_eq!(fs::read_to_string(stage.there("CLAUDE.md")).unwrap(), "from the dotfiles");
    assert!(stage.there("CLAUDE.md").symlink_metadata().unwrap().is_file());
    assert!(stage.there("skills/s/SKILL.md").symlink_metadata().unwrap().is_file());
    assert_eq!(stage.found("CANARY"), "");

    // The whole directory somewhere else, which only somebody can mean who says so.
    fs::rename(stage.home.join(".claude"), stage.guest.home.dir().join("elsewhere")).unwrap();
    symlink(stage.guest.home.dir().join("elsewhere"), stage.home.join(".claude")).unwrap();
    let ran = stage.run(&["sync", "vm"]);
    assert!(ran.code == 2 && ran.err.contains("CLAUDE_CONFIG_DIR="), "{}", ran.err);
    let mut named = stage.command(&["sync", "vm"]);
    named.env("CLAUDE_CONFIG_DIR", stage.guest.home.dir().join("elsewhere"));
    assert_eq!(finish(named, PATIENCE).code, 0);
}

#[test]
fn it_goes_by_itself_at_a_start_and_before_claude_does() {
    let stage = Stage::new();
    let start_claude = stage.guest.home.dir().join("bin/start-claude");
    fs::create_dir(start_claude.parent().unwrap()).unwrap();
    fs::write(&start_claude, "#!/bin/sh\ncat ~/.claude/CLAUDE.md; echo \"[$*]\"; exit 7\n").unwrap();
    fs::set_permissions(&start_claude, fs::Permissions::from_mode(0o755)).unwrap();
    let exec = ["exec", "vm", "--", start_claude.to_str().unwrap(), "-p", "hi"];
    // Without a configuration nothing is done.
    let ran = stage.run(&exec);
    assert_eq!((ran.code, ran.out.as_str()), (7, "[-p hi]\n"), "{}", ran.err);
    assert!(!stage.has(""));

    stage.write(".claude/CLAUDE.md", "one\n");
    assert_eq!(stage.run(&["start", "vm"]).code, 0);
    assert_eq!(fs::read_to_string(stage.there("CLAUDE.md")).unwrap(), "one\n");
    stage.write(".claude/CLAUDE.md", "two..\n");
    assert_eq!(stage.run(&["exec", "vm", "--", "true"]).code, 0);
    assert_eq!(fs::read_to_string(stage.there("CLAUDE.md")).unwrap(), "one\n");
    let ran = stage.run(&exec);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (7, "two..\n[-p hi]\n", ""));
    // What the guest has made of it stays until it changes here.
    fs::write(stage.there("CLAUDE.md"), "own\n").unwrap();
    assert_eq!(stage.run(&exec).out, "own\n[-p hi]\n");
    stage.write(".claude/CLAUDE.md", "three\n");
    fs::write(stage.guest.home.dir().join("config.toml"), "[sync]\nauto = false\n").unwrap();
    assert_eq!(stage.run(&exec).out, "own\n[-p hi]\n");
    fs::write(stage.guest.home.dir().join("config.toml"), "").unwrap();
    assert_eq!(stage.run(&exec).out, "three\n[-p hi]\n");
    // The same where a prompt is for Claude Code.
    let bin = start_claude.parent().unwrap().display();
    fs::write(stage.guest.home.dir().join(".profile"), format!("PATH='{bin}':$PATH; export PATH\n")).unwrap();
    stage.write(".claude/CLAUDE.md", "four\n");
    let ran = stage.run(&["run", "vm", "--", "hi"]);
    let said = "four\n[-p --output-format stream-json --verbose]\n";
    assert_eq!((ran.code, ran.out.as_str()), (7, said), "{}", ran.err);
    stage.write(".claude/CLAUDE.md", "five\n");
    let ran = stage.run(&["run", "vm", "--agent-cmd", "cat ~/.claude/CLAUDE.md", "--", "hi"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "four\n"), "{}", ran.err);
}

#[test]
fn a_guest_that_lies_harms_only_itself() {
    let stage = Stage::new();
    stage.write(".claude/CLAUDE.md", "text");
    fs::create_dir_all(stage.there("")).unwrap();
    let victim = stage.guest.home.dir().join("victim");
    fs::write(&victim, "dear").unwrap();
    for lie in ["x\0../victim\0p\0", "x\0/etc/passwd\0p\0", "garbage", "x\0victim", "\0\0\0"] {
        fs::write(stage.there(".ai-vm-sync"), lie).unwrap();
        let _ = fs::remove_file(stage.there("CLAUDE.md"));
        stage.sync(&[]);
        assert_eq!(fs::read_to_string(stage.there("CLAUDE.md")).unwrap(), "text");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "dear");
    }
    // Something of its own in the way is an error that says so, by the way only a warning.
    stage.write(".claude/skills/s", "text");
    fs::write(stage.there("skills"), "own").unwrap();
    let ran = stage.run(&["sync", "vm"]);
    assert!(
        ran.code == 1 && ran.err.contains("cannot put a directory in the place of a file"),
        "{}",
        ran.err
    );
    let ran = stage.run(&["start", "vm"]);
    assert!(
        ran.code == 0 && ran.err.contains("vm: warning: Claude's configuration was not sent"),
        "{}",
        ran.err
    );
    // Also where stdout is for a program: what is wrong, and nothing of how it is getting on.
    for verb in [&["start", "vm", "--json"][..], &["exec", "--json", "vm", "--", "start-claude"]] {
        let ran = stage.run(verb);
        serde_json::from_str::<serde_json::Value>(&ran.out).unwrap();
        let lines: Vec<&str> = ran.err.lines().collect();
        assert!(
            lines.len() == 1 && lines[0].starts_with("vm: warning: Claude's configuration"),
            "{}",
            ran.err
        );
    }
}

#[test]
fn many_each_with_a_result_of_its_own() {
    let stage = Stage::new();
    stage.write(".claude/CLAUDE.md", "text");
    let ran = stage.run(&["sync", "vm", "nobody", "--json"]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    let rows: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&rows[0]["error"]["code"], &rows[1]["ok"]), (&"not_found".into(), &true.into()));
    let rows: serde_json::Value =
        serde_json::from_str(&stage.run(&["sync", "--all", "--dry-run", "--json"]).out).unwrap();
    assert_eq!(
        rows,
        serde_json::json!([{ "name": "vm", "send": [], "bytes": 0, "remove": [], "left_out": [] }])
    );
    assert_eq!(stage.run(&["sync"]).code, 2);
}

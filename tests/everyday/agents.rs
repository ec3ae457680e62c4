//! Agents in VMs: sessions that go on when nobody looks, and what is seen of them from here.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::home::{Ran, finish, wait};
use crate::pty::Pty;
use crate::sshd::Guest;

const PATIENCE: Duration = Duration::from_secs(60);

/// A VM with a stand-in for start-claude and a tmux of its own, which ends with it.
pub struct Stage {
    pub guest: Guest,
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.tmux(&["kill-server"]).output();
    }
}

impl Stage {
    pub fn new() -> Self {
        let stage = Self { guest: Guest::serve("") };
        stage.write("bin/start-claude", include_str!("stand_in/agent.sh"));
        fs::set_permissions(stage.path("bin/start-claude"), fs::Permissions::from_mode(0o755)).unwrap();
        stage.write(".bash_profile", "export PATH=\"$HOME/bin:$PATH\" TMUX_TMPDIR=\"$HOME\"\numask 027\n");
        fs::create_dir(stage.path("work")).unwrap();
        stage
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.guest.home.dir().join(below)
    }

    pub fn write(&self, below: &str, text: &str) {
        fs::create_dir_all(self.path(below).parent().unwrap()).unwrap();
        fs::write(self.path(below), text).unwrap();
    }

    fn tmux(&self, args: &[&str]) -> Command {
        let mut tmux = Command::new("tmux");
        tmux.args(["-L", "ai-vm"]).args(args).env("TMUX_TMPDIR", self.path("")).stdin(Stdio::null());
        tmux
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        self.guest.home.run(args)
    }

    /// Begins a session and returns its ID.
    fn begin(&self, args: &[&str]) -> String {
        let ran = self.guest.home.ok(&[&["claude", "vm", "--detach"], args].concat());
        let id = ran.out.strip_prefix("vm ").unwrap().trim_end().to_owned();
        assert!(id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        id
    }

    /// What `agents --json` says of those that were written down. Others there are as well on a machine that is more than
    /// a VM.
    pub fn agents(&self) -> Vec<Value> {
        self.all().into_iter().filter(|agent| !agent["id"].is_null()).collect()
    }

    fn all(&self) -> Vec<Value> {
        serde_json::from_str(&self.guest.home.ok(&["agents", "--json"]).out).unwrap()
    }

    /// What it says of one agent.
    fn agent(&self, id: &str) -> Value {
        self.agents().into_iter().find(|agent| agent["id"] == id).unwrap()
    }

    fn logs(&self, id: &str) -> String {
        self.guest.home.ok(&["agents", "logs", "vm", id]).out
    }

    /// Waits until what an agent said has this in it.
    fn expect(&self, id: &str, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.logs(id).contains(text) {
            assert!(Instant::now() < deadline, "`{text}` does not come: {}", self.logs(id));
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn is_over(&self, id: &str) {
        let ran = self.run(&["agents", "wait", "vm", id, "--for", "ended", "--timeout", "60"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
    }
}

#[test]
fn a_session_goes_on_when_nobody_looks() {
    let stage = Stage::new();
    let id = stage.begin(&["-C", "work", "--", "fix", "the 'tests'"]);
    stage.expect(&id, "started [-- fix the 'tests'] in ");
    stage.expect(&id, "work, 0027");
    let agent = stage.agent(&id);
    let work = stage.path("work").canonicalize().unwrap();
    for (key, value) in [
        ("name", "vm"),
        ("kind", "session"),
        ("state", "done"),
        ("cwd", work.to_str().unwrap()),
        ("command", "claude"),
        ("prompt", "fix the 'tests'"),
    ] {
        assert_eq!(agent[key], value, "{agent}");
    }
    assert!(agent["age_s"].as_u64().unwrap() < 60 && agent["error"].is_null(), "{agent}");
    let table = stage.guest.home.ok(&["agents"]).out;
    assert!(table.contains(&id[..6]) && table.contains("fix the 'tests'"), "{table}");

    // The same again is the same one; with a prompt it is a question which one is meant.
    assert_eq!(stage.begin(&[]), id);
    let ran = stage.run(&["claude", "vm", "--detach", "--", "more"]);
    assert!(ran.code == 4 && ran.err.contains(&format!("agents send vm {id}")), "{}", ran.err);
    let other = stage.begin(&["--new"]);
    assert!(other != id && stage.agents().len() == 2);
    let ran = stage.run(&["agents", "send", "vm", "--", "x"]);
    assert!(ran.code == 2 && ran.err.contains(&other), "{}", ran.err);

    // What it waits for is seen, and waited for.
    stage.guest.home.ok(&["agents", "send", "vm", &id[..6], "--", "ask"]);
    stage.guest.home.ok(&["agents", "wait", "vm", &id, "--for", "waiting", "--timeout", "60"]);
    assert_eq!(
        (&stage.agent(&id)["state"], &stage.agent(&id)["waiting_for"]),
        (&"waiting".into(), &"answer".into())
    );
    let ran = stage.run(&["agents", "wait", "vm", &id, "--timeout", "1"]);
    assert!(ran.code == 5 && ran.err.contains("waiting: answer"), "{}", ran.err);
    let mut send = stage.guest.home.command(&["agents", "send", "vm", &id]);
    let file = stage.path("text");
    fs::write(&file, "two\nlines \u{e9}\n").unwrap();
    send.stdin(fs::File::open(file).unwrap());
    assert_eq!(finish(send, PATIENCE).code, 0);
    stage.expect(&id, "got <two>");
    stage.expect(&id, "got <lines \u{e9}>");
    stage.guest.home.ok(&["agents", "wait", "vm", &id, "--timeout", "60"]);

    // Its end is seen too, and what it said stays.
    stage.guest.home.ok(&["agents", "send", "vm", &id, "--", "quit"]);
    stage.is_over(&id);
    let agent = stage.agent(&id);
    assert_eq!((&agent["state"], &agent["exit"]), (&"failed".into(), &7.into()));
    assert!(stage.logs(&id).contains("got <two>"));
    assert_eq!(stage.run(&["agents", "send", "vm", &id, "--", "x"]).code, 4);
    assert_eq!(stage.run(&["agents", "stop", "vm", &id]).code, 4);
    let ran = stage.run(&["agents", "wait", "vm", &id]);
    assert!(ran.code == 1 && ran.err.contains("failed (7)"), "{}", ran.err);
    assert_eq!(stage.run(&["agents", "logs", "vm", "ffffffffffff"]).code, 3);
}

#[test]
fn a_terminal_comes_and_goes() {
    let stage = Stage::new();
    let mut pty = Pty::run(&stage.guest.home.command(&["claude", "vm"]));
    pty.expect("started []");
    // As fast as no person types.
    pty.type_keys("hello\r\u{1d}");
    pty.expect("goes on; come back: `ai-vm agents attach vm ");
    assert_eq!(pty.exit_code(), 0);
    assert!(pty.is_cooked());

    // A connection that breaks takes nothing along.
    let mut pty = Pty::run(&stage.guest.home.command(&["claude", "--no-mux", "vm"]));
    pty.expect("got <hello>");
    stage.guest.server.as_ref().unwrap().break_connections();
    pty.expect("it goes on; come back: `ai-vm agents attach vm ");
    assert_eq!(pty.exit_code(), 255);

    let mut pty = Pty::run(&stage.guest.home.command(&["agents", "attach", "vm"]));
    pty.expect("got <hello>");
    pty.type_keys("quit\r");
    assert_eq!(pty.exit_code(), 7);
    // Without a terminal there is nothing to connect.
    let ran = stage.run(&["claude", "vm"]);
    assert!(ran.code == 125 && ran.err.contains("--detach"), "{}", ran.err);
    assert_eq!(stage.run(&["agents", "attach", "vm"]).code, 125);
}

#[test]
fn other_agents_work_the_same_way() {
    let stage = Stage::new();
    let command = "echo \"asked: $AI_VM_PROMPT\"; exec cat";
    let id = stage.begin(&["--agent-cmd", command, "--", "a\nb"]);
    stage.expect(&id, "asked: a\nb");
    let agent = stage.agent(&id);
    assert_eq!((&agent["state"], &agent["command"]), (&"running".into(), &command.into()));
    assert_eq!(stage.begin(&["--agent-cmd", command]), id);
    // Which is another one than Claude Code.
    assert_ne!(stage.begin(&[]), id);
}

#[test]
fn what_is_stopped_ends() {
    let stage = Stage::new();
    let id = stage.begin(&[]);
    stage.expect(&id, "started");
    let ran = stage.guest.home.ok(&["agents", "stop", "vm"]);
    assert!(ran.err.contains(&format!("vm: {id} was ended by TERM")), "{}", ran.err);
    assert_eq!(stage.agent(&id)["state"], "stopped");
    let deaf = stage.begin(&["--agent-cmd", "exec start-claude"]);
    stage.guest.home.ok(&["agents", "send", "vm", &deaf, "--", "deaf"]);
    stage.expect(&deaf, "nothing is heard");
    let ran = stage.guest.home.ok(&["agents", "stop", "vm", &deaf]);
    assert!(ran.err.contains("KILL"), "{}", ran.err);
    assert_eq!(stage.agent(&deaf)["state"], "stopped");
    // One that somebody else killed is gone.
    let gone = stage.begin(&[]);
    stage.expect(&gone, "started");
    let pid = fs::read_to_string(stage.path(&format!(".local/state/ai-vm/agents/{gone}/pid"))).unwrap();
    let pid = format!("-{}", pid.split(' ').next().unwrap());
    assert!(Command::new("kill").args(["-s", "KILL", "--", &pid]).status().unwrap().success());
    stage.is_over(&gone);
    assert_eq!(stage.agent(&gone)["state"], "gone");
}

#[test]
fn what_is_missing_is_said() {
    let stage = Stage::new();
    for (args, what) in [
        (&["-C", "nowhere"][..], "there is no such directory"),
        (&["--", " "], "the text is empty"),
        (&["--agent-cmd", "x", "-C", "/etc/passwd"], "there is no such directory"),
    ] {
        let ran = stage.run(&[&["claude", "vm", "--detach"], args].concat());
        assert!(ran.code != 0 && ran.err.contains(what), "{}", ran.err);
    }
    fs::remove_file(stage.path("bin/start-claude")).unwrap();
    let ran = stage.run(&["claude", "vm", "--detach"]);
    assert!(ran.code == 1 && ran.err.contains("there is no start-claude"), "{}", ran.err);
    assert_eq!((stage.agents().len(), stage.run(&["agents", "stop", "vm"]).code), (0, 3));
    assert!(!stage.path(".local").exists(), "something half-made stays");
    assert_eq!(stage.run(&["agents", "nobody"]).code, 3);
}

#[test]
fn one_that_does_not_answer_keeps_nobody_waiting() {
    let stage = Stage::new();
    let id = stage.begin(&[]);
    // It accepts connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("x@127.0.0.1:{}", silent.local_addr().unwrap().port());
    let key = stage.path("key");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
    assert!(made.unwrap().success());
    let host_key = fs::read_to_string(key.with_extension("pub")).unwrap();
    let key = key.to_str().unwrap();
    stage.guest.home.ok(&["adopt", "mute", &address, "-i", key, "--host-key", host_key.trim(), "--no-check"]);
    let ran = stage.run(&["agents", "--timeout", "3"]);
    assert!(ran.code != 0 && ran.err.contains("mute"), "{} {}", ran.code, ran.err);
    assert!(ran.out.contains(&id[..6]) && ran.out.contains("no answer"), "{}", ran.out);
    let ran = stage.run(&["agents", "--timeout", "3", "--json"]);
    let rows: Vec<Value> = serde_json::from_str(&ran.out).unwrap();
    assert!(rows[0]["error"]["message"].is_string() && rows[0]["id"].is_null(), "{}", ran.out);
    assert_eq!(
        (
            &rows.iter().find(|row| row["name"] == "vm" && !row["id"].is_null()).unwrap()["id"],
            &rows[1]["error"]
        ),
        (&id.into(), &Value::Null)
    );
}

#[test]
fn those_that_nobody_wrote_down_are_seen_as_well() {
    let stage = Stage::new();
    let claude = stage.path("bin/claude");
    fs::copy("/bin/sleep", &claude).unwrap();
    let mut running = stage.guest.home.command(&[
        "exec",
        "-C",
        stage.path("work").to_str().unwrap(),
        "vm",
        "--",
        "claude",
        "987",
    ]);
    let child = running.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    let work = stage.path("work").canonicalize().unwrap();
    let found = loop {
        let found = stage.all().into_iter().find(|agent| agent["cwd"] == work.to_str().unwrap());
        if let Some(found) = found {
            break found;
        }
        assert!(Instant::now() < deadline, "it is not seen");
    };
    assert_eq!(
        (&found["kind"], &found["id"], &found["state"]),
        (&"own".into(), &Value::Null, &"running".into())
    );
    crate::processes::signal(child.id(), "TERM");
    wait(child, PATIENCE, "claude");
}

#[test]
fn what_a_guest_claims_is_only_shown() {
    let stage = Stage::new();
    let dir = ".local/state/ai-vm/agents/0123456789ab";
    let evil = "\u{1b}]52;c;eA==\u{7}\u{1b}[2Jevil\u{202e}";
    for (name, text) in [
        ("kind", "session"),
        ("prompt", evil),
        ("command", &evil.repeat(1000)),
        ("cwd", &format!("/{evil}\nx")),
        ("begun", "99999999999999999999"),
        ("pid", "1 1\nx"),
        ("exit", "0"),
        ("cost", "-1e999"),
    ] {
        stage.write(&format!("{dir}/{name}"), text);
    }
    for odd in ["x", "0123456789abc", "..."] {
        stage.write(&format!(".local/state/ai-vm/agents/{odd}/kind"), "session");
    }
    let agents = stage.agents();
    assert_eq!(agents.len(), 1);
    assert_eq!((&agents[0]["state"], &agents[0]["cost_usd"]), (&"done".into(), &Value::Null));
    let ran = stage.run(&["agents"]);
    assert!(ran.code == 0 && ran.out.contains("evil") && !ran.out.contains('\u{1b}'), "{:?}", ran.out);

    // Answers that are none, and one without an end.
    for lie in [
        "echo nonsense",
        "printf 'ai-vm agents\\0001\\000agent\\000'",
        "exec timeout 20 yes",
        "exit 85",
        "exit 99",
        "kill -9 $$",
    ] {
        stage.write("bin/sh", &format!("#!/bin/bash\nexec >&4 2>&5\nread -r -t 1 <&3\n{lie}\n"));
        fs::set_permissions(stage.path("bin/sh"), fs::Permissions::from_mode(0o755)).unwrap();
        let begun = Instant::now();
        let ran = stage.run(&["agents", "--timeout", "3", "--json"]);
        assert!(
            ran.code != 0 && begun.elapsed() < Duration::from_secs(30),
            "{lie}: {} {}",
            ran.code,
            ran.err
        );
        let rows: Vec<Value> = serde_json::from_str(&ran.out).unwrap();
        assert!(rows[0]["error"]["message"].is_string() && rows[0]["id"].is_null(), "{lie}: {}", ran.out);
    }
}

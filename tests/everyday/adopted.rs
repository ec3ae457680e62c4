//! Machines that something else runs: taken in, reached like VMs, and forgotten.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::home::{Home, Ran};
use crate::pty::Pty;
use crate::sshd::{Server, whoami};

/// A home, and a server that lets in whoever has the key `key` of it.
struct Machine {
    home: Home,
    port: u16,
    /// Its host key as OpenSSH writes it.
    host_key: String,
    server: Option<Server>,
}

impl Machine {
    /// Serves with a host key of one kind and lets a user key of one kind in.
    fn of(host: &[&str], user: &[&str]) -> Self {
        let home = Home::new();
        let (host_file, key) = (home.dir().join("host"), home.dir().join("key"));
        keygen(&host_file, host, "");
        keygen(&key, user, "");
        let port = portpicker::pick_unused_port().unwrap();
        let server = Server::start(home.dir(), port, &host_file, &home.dir().join("key.pub"), "");
        let host_key = std::fs::read_to_string(home.dir().join("host.pub")).unwrap();
        let host_key = host_key.split(' ').take(2).collect::<Vec<_>>().join(" ");
        Self { home, port, host_key, server: Some(server) }
    }

    fn new() -> Self {
        Self::of(&["-t", "ed25519"], &["-t", "ed25519"])
    }

    fn address(&self) -> String {
        format!("{}@127.0.0.1:{}", whoami(), self.port)
    }

    fn key(&self) -> String {
        self.home.dir().join("key").display().to_string()
    }

    fn adopt(&self, flags: &[&str]) -> Ran {
        self.home.run(&[&["adopt", "box", &self.address()], flags].concat())
    }

    /// Adopts it with the right keys.
    fn adopted(self) -> Self {
        let ran = self.adopt(&["-i", &self.key(), "--host-key", &self.host_key]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        self
    }

    /// Waits until `ls` says this: a login can take longer than a look on a busy machine.
    fn expect_state(&self, state: &str) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.home.state() != state {
            assert!(Instant::now() < deadline, "not {state}: {:?}", self.home.list());
        }
    }
}

fn keygen(file: &Path, kind: &[&str], passphrase: &str) {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-C", "a comment", "-N", passphrase, "-f"]).arg(file).args(kind);
    assert!(command.status().unwrap().success());
}

#[test]
fn taken_in_used_and_forgotten() {
    let it = Machine::new().adopted();
    let home = &it.home;
    it.expect_state("running");
    let vm = &home.list()[0];
    assert_eq!((&vm["guest"], &vm["ram_mib"]), (&"adopted".into(), &serde_json::Value::Null));
    assert_eq!(vm["address"], format!("127.0.0.1:{}", it.port));
    assert!(home.ok(&["ls"]).out.contains(&format!("127.0.0.1:{}", it.port)));
    assert!(home.ok(&["info", "box"]).out.contains("SHA256:"));
    // On a connection of its own, then on a warm one, which is made by the first and used by the second.
    for flags in [&["--no-mux"][..], &[], &[]] {
        let argv = [&["exec"], flags, &["box", "--", "sh", "-c", "echo out; echo err >&2; exit 7"]].concat();
        let ran = home.run(&argv);
        assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (7, "out\n", "err\n"), "{flags:?}");
    }
    let accepted = it.server.as_ref().unwrap().says().matches("Accepted publickey").count();
    home.ok(&["exec", "box", "--", "true"]);
    assert_eq!(it.server.as_ref().unwrap().says().matches("Accepted publickey").count(), accepted);
    let mut pty = Pty::run(&home.command(&["shell", "box"]));
    pty.type_keys("stty size\r");
    pty.expect("30 100");
    pty.type_keys("exit 4\r");
    assert_eq!(pty.exit_code(), 4);
    home.ok(&["wait", "--timeout", "30", "box"]);
    let ran = home.ok(&["rm", "--force", "box"]);
    assert!(ran.err.contains("goes on"), "{}", ran.err);
    assert!(home.list().is_empty() && !home.vm("box").exists());
    assert!(std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, it.port)).is_ok(), "the machine was touched");
}

#[test]
fn what_is_for_vms_only_does_not_apply() {
    let it = Machine::new().adopted();
    for argv in [
        &["start", "box"][..],
        &["stop", "box"],
        &["restart", "--force", "box"],
        &["up", "box"],
        &["logs", "box"],
        &["wait", "--stopped", "--timeout", "1", "box"],
    ] {
        let ran = it.home.run(argv);
        assert_eq!(ran.code, 2, "{argv:?}: {}", ran.err);
        assert!(
            ran.err.contains("run by something else") && ran.err.contains("hint:"),
            "{argv:?}: {}",
            ran.err
        );
    }
    // Who stops everything does not mean it.
    assert_eq!(it.home.ok(&["stop", "--all"]).err, "");
    assert_eq!(it.home.run(&["create", "box"]).code, 4);
    assert_eq!(it.adopt(&["--host-key", &it.host_key]).code, 4);
}

#[test]
fn every_kind_of_key_will_do() {
    let kinds: [&[&str]; 4] = [
        &["-t", "ecdsa", "-b", "256"],
        &["-t", "ecdsa", "-b", "521"],
        &["-t", "rsa", "-b", "2048"],
        &["-t", "ed25519"],
    ];
    for kind in kinds {
        let it = Machine::of(kind, kind);
        // The key that the server shows of its own accord is the one that it has.
        let ran = it.adopt(&["-i", &it.key(), "--yes"]);
        assert_eq!(ran.code, 0, "{kind:?}: {}", ran.err);
        let pinned = std::fs::read_to_string(it.home.vm("box").join("identity/host.pub")).unwrap();
        assert_eq!(pinned.trim(), it.host_key, "{kind:?}");
        assert_eq!(it.home.run(&["exec", "box", "--", "sh", "-c", "exit 3"]).code, 3, "{kind:?}");
    }
}

#[test]
fn another_host_key_is_refused_before_any_login() {
    let it = Machine::new();
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let other = it.home.dir().join(kind);
        keygen(&other, &["-t", kind], "");
        let other = std::fs::read_to_string(other.with_extension("pub")).unwrap();
        let ran = it.adopt(&["-i", &it.key(), "--host-key", &other]);
        assert_eq!(ran.code, 4, "{kind}: {}", ran.err);
        assert!(ran.err.contains("another host key"), "{kind}: {}", ran.err);
        assert!(it.home.list().is_empty());
        it.home.ok(&["adopt", kind, &it.address(), "-i", &it.key(), "--host-key", &other, "--no-check"]);
        for argv in [&["exec", kind, "--", "true"][..], &["shell", kind], &["wait", kind]] {
            let ran = it.home.run(argv);
            assert_eq!(ran.code, if argv[0] == "wait" { 4 } else { 125 }, "{}", ran.err);
            assert!(ran.err.contains("another host key"), "{}", ran.err);
        }
        it.home.ok(&["rm", kind]);
    }
    let said = it.server.as_ref().unwrap().says();
    for word in ["userauth", "Accepted", "Failed", "publickey", "user "] {
        assert!(!said.contains(word), "the server heard about `{word}`: {said}");
    }
}

#[test]
fn a_key_that_nobody_vouches_for_is_not_pinned() {
    let it = Machine::new();
    let ran = it.adopt(&["-i", &it.key(), "-l", "team=red"]);
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(it.home.list().is_empty());
    let mut fingerprint = Command::new("ssh-keygen");
    let fingerprint = fingerprint.args(["-l", "-f"]).arg(it.home.dir().join("host.pub")).output().unwrap();
    let fingerprint = String::from_utf8(fingerprint.stdout).unwrap();
    assert!(ran.err.contains(fingerprint.split(' ').nth(1).unwrap()), "{}", ran.err);
    // What the hint says can be pasted.
    let line = ran.err.split('`').find(|part| part.starts_with("ai-vm adopt")).unwrap();
    let line = line.replacen("ai-vm", env!("CARGO_BIN_EXE_ai-vm"), 1);
    let mut shell = Command::new("sh");
    shell.args(["-c", &line]).env("AI_VM_HOME", it.home.data()).env("HOME", it.home.dir());
    let ran = crate::home::finish(shell, Duration::from_secs(60));
    assert_eq!(ran.code, 0, "{line}: {}", ran.err);
    assert!(ran.err.contains("which calls itself"), "{}", ran.err);
    assert_eq!(it.home.list()[0]["labels"]["team"], "red");
    it.home.ok(&["rm", "box"]);
    // At a terminal it is asked.
    for (answer, code) in [("n\r", 1), ("y\r", 0)] {
        let command = it.home.command(&["adopt", "box", &it.address(), "-i", &it.key()]);
        let mut pty = Pty::run(&command);
        pty.expect("[y/N]");
        pty.type_keys(answer);
        assert_eq!(pty.exit_code(), code, "{}", pty.screen());
    }
    assert_eq!(it.home.list().len(), 1);
}

/// An agent of the test's own.
struct Agent {
    socket: PathBuf,
    process: Child,
}

impl Agent {
    fn start(home: &Home) -> Self {
        let socket = home.dir().join("agent");
        let mut command = Command::new("ssh-agent");
        command.arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while !socket.exists() {
            assert!(Instant::now() < deadline, "the agent does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { socket, process }
    }

    fn add(&self, key: &Path, passphrase: &str) {
        let ask = key.with_extension("ask");
        std::fs::write(&ask, format!("#!/bin/sh\necho '{passphrase}'\n")).unwrap();
        assert!(Command::new("chmod").arg("700").arg(&ask).status().unwrap().success());
        let mut command = Command::new("ssh-add");
        command.arg("-q").arg(key).env("SSH_AUTH_SOCK", &self.socket).stdin(Stdio::null());
        command.env("SSH_ASKPASS", &ask).env("SSH_ASKPASS_REQUIRE", "force");
        assert!(command.status().unwrap().success());
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn an_agent_logs_in() {
    for kind in [&["-t", "ed25519"][..], &["-t", "rsa", "-b", "2048"]] {
        let it = Machine::of(&["-t", "ed25519"], kind);
        let agent = Agent::start(&it.home);
        // A key that the server does not know comes first.
        let other = it.home.dir().join("other");
        keygen(&other, &["-t", "ed25519"], "");
        agent.add(&other, "");
        agent.add(&it.home.dir().join("key"), "");
        std::fs::remove_file(it.home.dir().join("key")).unwrap();
        let run = |argv: &[&str]| {
            let mut command = it.home.command(argv);
            command.env("SSH_AUTH_SOCK", &agent.socket);
            crate::home::finish(command, Duration::from_secs(60))
        };
        let ran = run(&["adopt", "box", &it.address(), "--host-key", &it.host_key]);
        assert_eq!(ran.code, 0, "{kind:?}: {}", ran.err);
        for flags in [&["--no-mux"][..], &[], &[]] {
            let ran = run(&[&["exec"], flags, &["box", "--", "sh", "-c", "exit 5"]].concat());
            assert_eq!(ran.code, 5, "{kind:?} {flags:?}: {}", ran.err);
        }
        // A warm connection that the agent made is not for whoever has no agent.
        let ran = it.home.run(&["exec", "box", "--", "true"]);
        assert_eq!(ran.code, 125, "{kind:?}: {}", ran.err);
        assert!(ran.err.contains("no key to log in with"), "{kind:?}: {}", ran.err);
    }
}

#[test]
fn without_a_usable_key_it_is_said_what_was_looked_at() {
    let it = Machine::new();
    let ssh = it.home.dir().join(".ssh");
    std::fs::create_dir(&ssh).unwrap();
    let none = it.adopt(&["--host-key", &it.host_key]);
    assert_eq!(none.code, 1);
    assert!(none.err.contains("no key to log in with") && none.err.contains("ssh-add"), "{}", none.err);
    // An encrypted one is not asked for; the agent can have it.
    let locked = ssh.join("id_ed25519");
    keygen(&locked, &["-t", "ed25519"], "secret");
    let ran = it.adopt(&["--host-key", &it.host_key]);
    assert!(ran.err.contains("id_ed25519` is encrypted"), "{}", ran.err);
    let ran = it.adopt(&["--host-key", &it.host_key, "-i", locked.to_str().unwrap()]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("is encrypted, and no agent has it"), "{}", ran.err);
    let ran = it.adopt(&["--host-key", &it.host_key, "-i", "/nowhere"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("`/nowhere`"), "{}", ran.err);
    // One that the server does not know is not enough, and the locked one is still told.
    keygen(&ssh.join("id_rsa"), &["-t", "rsa", "-b", "2048"], "");
    let ran = it.adopt(&["--host-key", &it.host_key]);
    assert!(ran.err.contains("refuses the login") && ran.err.contains("id_ed25519"), "{}", ran.err);
    assert!(it.home.list().is_empty());
    // The usual file is found by itself.
    std::fs::copy(it.key(), ssh.join("id_ecdsa")).unwrap();
    assert_eq!(it.adopt(&["--host-key", &it.host_key]).code, 0);
}

#[test]
fn an_agent_signs_for_the_one_key_that_is_encrypted() {
    let it = Machine::new();
    let locked = it.home.dir().join("locked");
    keygen(&locked, &["-t", "ed25519"], "secret");
    std::fs::copy(it.home.dir().join("locked.pub"), it.home.dir().join("key.pub")).unwrap();
    let agent = Agent::start(&it.home);
    agent.add(&locked, "secret");
    let address = it.address();
    let argv = ["adopt", "box", &address, "--host-key", &it.host_key, "-i", locked.to_str().unwrap()];
    let mut command = it.home.command(&argv);
    command.env("SSH_AUTH_SOCK", &agent.socket);
    let ran = crate::home::finish(command, Duration::from_secs(60));
    assert_eq!(ran.code, 0, "{}", ran.err);
}

#[test]
fn one_that_does_not_answer_is_told_at_once_and_waited_for_by_wait() {
    let mut it = Machine::new().adopted();
    drop(it.server.take());
    it.expect_state("unreachable");
    assert!(it.home.list()[0]["problem"].as_str().unwrap().contains("refused"));
    let ran = it.home.run(&["exec", "box", "--", "true"]);
    assert_eq!(ran.code, 125, "{}", ran.err);
    assert!(ran.err.contains("cannot be reached") && ran.err.contains("ai-vm wait box"), "{}", ran.err);
    let ran = it.home.run(&["wait", "--timeout", "1", "box"]);
    assert_eq!(ran.code, 5, "{}", ran.err);
    let waiting = it.home.command(&["wait", "--timeout", "60", "box"]);
    let waiting = std::thread::spawn(move || crate::home::finish(waiting, Duration::from_secs(60)));
    let (host, login) = (it.home.dir().join("host"), it.home.dir().join("key.pub"));
    it.server = Some(Server::start(it.home.dir(), it.port, &host, &login, ""));
    let ran = waiting.join().unwrap();
    assert_eq!(ran.code, 0, "{}", ran.err);
}

#[test]
fn many_that_are_silent_are_looked_at_together() {
    let it = Machine::new().adopted();
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = format!("someone@{}", silent.local_addr().unwrap());
    std::thread::scope(|scope| {
        for number in 0..32 {
            let (it, address) = (&it, &address);
            scope.spawn(move || {
                let name = format!("silent{number}");
                let flags = ["-i", &it.key(), "--host-key", &it.host_key, "--no-check"];
                it.home.ok(&[&["adopt", &name, address], flags.as_slice()].concat());
            });
        }
    });
    let states: Vec<_> = it.home.list().into_iter().map(|vm| vm["state"].clone()).collect();
    assert_eq!(states.iter().filter(|state| **state == "unreachable").count(), 32, "{states:?}");
    // One after another they would have been waited for half a minute.
    it.expect_state("running");
    assert_eq!(it.home.ok(&["ls", "-q"]).out.lines().count(), 33);
}

#[test]
fn addresses_that_cannot_be_one_are_refused() {
    let home = Home::new();
    for address in ["", "-oProxyCommand=x", "a b", "box:0", "box:99999", "[::1", "@box"] {
        let ran = home.run(&["adopt", "box", "--", address]);
        assert_eq!(ran.code, 2, "{address:?}: {}", ran.err);
    }
    let ran = home.run(&["adopt", "box", "x@127.0.0.1", "--host-key", "ssh-ed25519 nonsense"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("is not a host key") && ran.err.contains("hint:"), "{}", ran.err);
    let ran = home.run(&["adopt", "box", "x@no-such-host.invalid", "--yes", "--timeout", "20"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("no-such-host.invalid:22"), "{}", ran.err);
}

//! `ai-vm rebuild`, against a real SSH server: systemd is played by a stand-in, the guest's own `rebuild` by a script that
//! does what a test wants. (The guests' suite has the real ones.)

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ai_vm::host::detached;
use ai_vm::host::layout::{Identity, VmDir};

use crate::home::{Ran, wait};
use crate::pty::Pty;
use crate::sshd::{Guest, whoami};

const PATIENCE: Duration = Duration::from_secs(60);

/// A guest with a command `rebuild`.
struct Rebuilt {
    guest: Guest,
}

impl Rebuilt {
    /// `body` is a script for `sh`, called in a directory of the test's own.
    fn by(body: &str) -> Self {
        let it = Self { guest: Guest::serve("") };
        fs::create_dir_all(it.path("there/bin")).unwrap();
        for tool in ["systemd-run", "systemctl"] {
            it.write_executable(&format!("there/bin/{tool}"), include_str!("stand_in/systemd.sh"));
        }
        // For those who do not run the tests as root.
        it.write_executable(
            "there/bin/sudo",
            "#!/bin/sh\nwhile [ \"$1\" != -- ]; do shift; done\nshift\nexec \"$@\"\n",
        );
        let there = it.path("there");
        let profile = format!(
            "PATH='{0}'/bin:$PATH AI_VM_REBUILDS='{0}'/runs\nexport PATH AI_VM_REBUILDS\n",
            there.display()
        );
        fs::write(it.path(".profile"), profile).unwrap();
        it.does(body);
        it
    }

    fn does(&self, body: &str) {
        let there = self.path("there");
        self.write_executable(
            "there/bin/rebuild",
            &format!("#!/bin/sh\ncd '{}' || exit 99\n{body}\n", there.display()),
        );
    }

    fn path(&self, name: &str) -> PathBuf {
        self.guest.home.dir().join(name)
    }

    fn write_executable(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), PermissionsExt::from_mode(0o755)).unwrap();
    }

    fn rebuild(&self, args: &[&str]) -> Ran {
        self.guest.home.run(&[&["rebuild", "vm"], args].concat())
    }

    /// Begins to follow in a process of its own, and waits until the first part of the log has come.
    fn follow(&self) -> Following {
        let out = tempfile::NamedTempFile::new_in(self.path("there")).unwrap();
        let mut command = self.guest.home.command(&["rebuild", "vm"]);
        let child = command.stdout(out.reopen().unwrap()).stderr(Stdio::piped()).spawn().unwrap();
        let following = Following { child, out };
        let deadline = Instant::now() + PATIENCE;
        while following.log() != FIRST_PART {
            assert!(Instant::now() < deadline, "there is no log: {}", following.log());
            std::thread::sleep(Duration::from_millis(5));
        }
        following
    }

    fn expect(&self, file: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.path("there").join(file).exists() {
            assert!(Instant::now() < deadline, "{file} does not come");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Lets a body go on that waits for it.
    fn go_on(&self) {
        fs::write(self.path("there/go"), "").unwrap();
    }

    fn end_unit(&self, signal: &str) {
        let session = fs::read_to_string(self.path("there/unit")).unwrap_or_default();
        let group = format!("-{}", session.trim());
        let _ = Command::new("kill").args(["-s", signal, "--", &group]).stderr(Stdio::null()).status();
    }
}

/// One who follows a rebuild.
struct Following {
    child: Child,
    out: tempfile::NamedTempFile,
}

impl Following {
    fn log(&self) -> String {
        fs::read_to_string(self.out.path()).unwrap()
    }

    /// Waits for its end, and returns what it showed.
    fn end(self) -> Ran {
        let ran = wait(self.child, PATIENCE, "rebuild");
        Ran { out: fs::read_to_string(self.out.path()).unwrap(), ..ran }
    }
}

impl Drop for Rebuilt {
    fn drop(&mut self) {
        self.end_unit("KILL");
    }
}

/// Says something, waits for the test, says more. How often it has run is in a file.
const IN_TWO_PARTS: &str = "echo x >>runs.log; echo one; echo two >&2; : >begun\n\
                            until [ -e go ]; do sleep 0.02; done; echo three; printf four; exit 7";
const FIRST_PART: &str = "one\ntwo\n";
const SAID: &str = "one\ntwo\nthree\nfour\n";

fn times(it: &Rebuilt) -> usize {
    fs::read_to_string(it.path("there/runs.log")).unwrap_or_default().lines().count()
}

#[test]
fn the_log_and_the_exit_code_are_the_rebuilds_own() {
    let it = Rebuilt::by("");
    assert_eq!(it.rebuild(&["--log"]).code, 3);
    for code in [0, 1, 3, 100, 125, 128, 143, 255] {
        it.does(&format!("echo out; echo err >&2; test -t 0 || cat; exit {code}"));
        for way in [["-j1"].as_slice(), &["-j1", "--no-mux"]] {
            let ran = it.rebuild(way);
            assert_eq!((ran.code, ran.out.as_str()), (code, "vm | out\nvm | err\n"), "{}", ran.err);
        }
    }
    assert!(it.rebuild(&[]).err.contains("failed with exit code 255"));
    let ran = it.rebuild(&["--log"]);
    assert_eq!(
        (ran.code, ran.out.as_str(), ran.err.as_str()),
        (0, "out\nerr\n", "vm: ended with exit code 255\n")
    );
    it.does("seq 200000");
    let ran = it.rebuild(&[]);
    assert_eq!((ran.code, ran.out.len()), (0, 1_288_895), "{}", ran.err);
    assert!(ran.err.starts_with("vm: rebuilt in "), "{}", ran.err);
    // Those who may have to be read once more are kept, not all.
    assert!(fs::read_dir(it.path("there/runs")).unwrap().count() < 10);
}

#[test]
fn a_lost_connection_is_had_again_and_nothing_is_lost_or_said_twice() {
    let it = Rebuilt::by(IN_TWO_PARTS);
    let child = it.follow();
    for _ in 0..3 {
        it.guest.server.as_ref().unwrap().break_connections();
        std::thread::sleep(Duration::from_millis(700));
    }
    it.go_on();
    let ran = child.end();
    assert_eq!((ran.code, ran.out.as_str(), times(&it)), (7, SAID, 1), "{}", ran.err);
    for words in ["the connection is lost", "connected again"] {
        assert!(ran.err.contains(words), "no `{words}`: {}", ran.err);
    }
}

#[test]
fn it_ends_while_nobody_is_connected_and_that_is_learnt_later() {
    let mut it = Rebuilt::by(IN_TWO_PARTS);
    let child = it.follow();
    it.guest.pull_the_plug();
    it.go_on();
    let deadline = Instant::now() + PATIENCE;
    let ended = |it: &Rebuilt| {
        fs::read_dir(it.path("there/runs")).unwrap().flatten().any(|entry| entry.path().join("exit").exists())
    };
    while !ended(&it) {
        assert!(Instant::now() < deadline, "it does not end by itself");
        std::thread::sleep(Duration::from_millis(10));
    }
    it.guest.start_server("");
    let ran = child.end();
    assert_eq!((ran.code, ran.out.as_str(), times(&it)), (7, SAID, 1), "{}", ran.err);
}

#[test]
fn who_was_killed_joins_again_and_so_do_others() {
    let it = Rebuilt::by(IN_TWO_PARTS);
    let mut killed = it.follow();
    killed.child.kill().unwrap();
    killed.child.wait().unwrap();
    let ran = it.rebuild(&["--log"]);
    assert!(ran.err.contains("under way"), "{}", ran.err);
    let others: Vec<Following> = (0..3).map(|_| it.follow()).collect();
    let ran = it.rebuild(&["--detach"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{}", ran.err);
    assert!(ran.err.contains("already"), "{}", ran.err);
    it.go_on();
    for other in others {
        let ran = other.end();
        assert_eq!((ran.code, ran.out.as_str()), (7, SAID), "{}", ran.err);
        assert!(ran.err.contains("under way already"), "{}", ran.err);
    }
    assert_eq!(times(&it), 1);
}

#[test]
fn many_that_begin_at_once_are_one() {
    let it = Rebuilt::by(IN_TWO_PARTS);
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..6).map(|_| scope.spawn(|| it.follow())).collect();
        let all: Vec<Following> = all.into_iter().map(|one| one.join().unwrap()).collect();
        it.go_on();
        for one in all {
            let ran = one.end();
            assert_eq!((ran.code, ran.out.as_str()), (7, SAID), "{}", ran.err);
        }
    });
    assert_eq!(times(&it), 1);
}

#[test]
fn one_that_has_just_ended_is_not_joined() {
    let it = Rebuilt::by("echo x >>runs.log");
    // It is not gone yet when its exit code is there, as a unit of which something is still being ended.
    let lingering = include_str!("stand_in/systemd.sh").replace("exec \"$@\"'", "\"$@\"; sleep 2'");
    assert_ne!(lingering, include_str!("stand_in/systemd.sh"));
    it.write_executable("there/bin/systemd-run", &lingering);
    for count in 1..=3 {
        let ran = it.rebuild(&[]);
        assert_eq!((ran.code, times(&it)), (0, count), "{}", ran.err);
        assert!(!ran.err.contains("already"), "{}", ran.err);
    }
}

#[test]
fn detached_and_interrupted() {
    let it = Rebuilt::by(IN_TWO_PARTS);
    let ran = it.rebuild(&["-d"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{}", ran.err);
    assert!(ran.err.contains("`ai-vm rebuild vm` follows it"), "{}", ran.err);
    for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let child = it.follow();
        let pid = child.child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
        let ran = child.end();
        assert_eq!(ran.code, code, "{}", ran.err);
        for words in ["goes on", "`ai-vm rebuild vm`", "`ai-vm exec vm -- sudo systemctl stop ai-vm-rebuild`"]
        {
            assert!(ran.err.contains(words), "no {words}: {}", ran.err);
        }
    }
    let child = it.follow();
    it.go_on();
    assert_eq!(child.end().code, 7);
    assert_eq!(times(&it), 1, "a signal here ended it there");
}

#[test]
fn who_ends_it_there_is_understood() {
    let it = Rebuilt::by(IN_TWO_PARTS);
    // Politely, as `systemctl stop` does: it ends by TERM.
    let child = it.follow();
    it.end_unit("TERM");
    let ran = child.end();
    assert!(ran.code == 143 && ran.out.starts_with(FIRST_PART), "{}{}", ran.out, ran.err);
    // Here nothing of it is left to say how it ended.
    let child = it.follow();
    it.end_unit("KILL");
    let ran = child.end();
    assert_eq!(ran.code, 255, "{}", ran.err);
    assert!(ran.err.contains("did not come to its end"), "{}", ran.err);
    it.go_on();
    assert_eq!(it.rebuild(&[]).code, 7, "it is in the way of the next one");
}

#[test]
fn a_vm_that_goes_down_is_not_waited_for() {
    let mut it = Rebuilt::by(IN_TWO_PARTS);
    let child = it.follow();
    detached::find_by_stdin(&it.guest.file(VmDir::RUN_LOCK)).unwrap().kill().unwrap();
    it.guest.pull_the_plug();
    let begun = Instant::now();
    let ran = child.end();
    assert_eq!((ran.code, ran.out.as_str()), (255, "one\ntwo\n"), "{}", ran.err);
    assert!(ran.err.contains("hint: follow it again: `ai-vm rebuild vm`"), "{}", ran.err);
    assert!(begun.elapsed() < Duration::from_secs(20));
    let ran = it.rebuild(&[]);
    assert_eq!(ran.code, 125);
    assert!(ran.err.contains("ai-vm start vm"), "{}", ran.err);
}

#[test]
fn what_a_guest_lacks_is_told_in_one_error() {
    let it = Rebuilt::by("");
    let lacks = |words: &str| {
        let ran = it.rebuild(&[]);
        assert_eq!((ran.code, ran.out.as_str()), (125, ""), "{}", ran.err);
        assert!(ran.err.contains(words) && ran.err.contains("hint: a guest needs systemd"), "{}", ran.err);
    };
    fs::remove_file(it.path("there/bin/rebuild")).unwrap();
    lacks("there is no command `rebuild`");
    it.does("");
    it.write_executable("there/bin/systemd-run", "#!/bin/sh\necho 'Cannot operate' >&2\nexit 1\n");
    lacks("systemd did not begin it: Cannot operate");
    it.write_executable("there/bin/id", "#!/bin/sh\necho 1000\n");
    it.write_executable("there/bin/sudo", "#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n");
    lacks("cannot become root: sudo: a password is required");
    assert_eq!(it.guest.home.run(&["rebuild", "nobody"]).code, 125);
    assert_eq!(it.guest.home.run(&["rebuild"]).code, 2);
}

#[test]
fn a_guest_that_lies_decides_nothing() {
    let it = Rebuilt::by("exit 0");
    for exit in ["256", "-1", "0 0", "0x0", "", "00"] {
        let lie = format!(
            "d=$AI_VM_REBUILDS; r=$(ls -t $d | grep -v '[.l]' | head -n1); echo '{exit}' >$d/$r/exit; kill -9 0"
        );
        it.does(&format!("AI_VM_REBUILDS='{}'; {lie}", it.path("there/runs").display()));
        let ran = it.rebuild(&[]);
        assert_eq!(ran.code, 255, "`{exit}`: {}", ran.err);
    }
    it.does("printf 'a\\033]52;c;eA==\\007\\033[2J\\033[31mred\\033[6n\\n'; exit 3");
    let mut pty = Pty::run(&it.guest.home.command(&["rebuild", "vm"]));
    assert_eq!(pty.exit_code(), 3);
    let screen = pty.screen();
    assert!(
        screen.contains("a\u{1b}[31mred\u{1b}[0m")
            && !screen.contains("\u{1b}]52")
            && !screen.contains("\u{1b}[6n"),
        "{screen:?}"
    );
}

#[test]
fn a_reader_that_goes_away_ends_nothing_there() {
    let it = Rebuilt::by(&IN_TWO_PARTS.replace("echo one", "seq 100000; echo one"));
    let line = format!("{} rebuild vm | head -n 1; exit ${{PIPESTATUS[0]}}", env!("CARGO_BIN_EXE_ai-vm"));
    let mut shell = Command::new("bash");
    shell.args(["-c", &line]).env("AI_VM_HOME", it.guest.home.data()).env("HOME", it.guest.home.dir());
    let ran = crate::home::finish(shell, PATIENCE);
    assert_eq!((ran.code, ran.out.as_str()), (141, "1\n"), "{}", ran.err);
    it.expect("begun");
    assert!(it.rebuild(&["--detach"]).err.contains("under way already"));
}

#[test]
fn json_tells_exit_codes_and_what_went_wrong() {
    let it = Rebuilt::by("echo log; exit 9");
    it.guest.home.ok(&["create", "off", "--no-default-ports"]);
    let ran = it.guest.home.run(&["rebuild", "--all", "--json"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    let rows: Vec<serde_json::Value> = serde_json::from_str(&ran.out).unwrap();
    let of = |at: usize, key: &str| rows[at][key].clone();
    assert_eq!((of(0, "name"), of(0, "exit"), of(0, "ok")), ("off".into(), 125.into(), false.into()));
    assert_eq!((of(1, "name"), of(1, "exit"), of(1, "action")), ("vm".into(), 9.into(), "rebuild".into()));
    assert!(rows[1]["error"]["message"].as_str().unwrap().contains("exit code 9"));
    it.does("exit 0");
    let ran = it.guest.home.ok(&["rebuild", "vm", "--json"]);
    let rows: Vec<serde_json::Value> = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&rows[0]["exit"], &rows[0]["error"]), (&0.into(), &serde_json::Value::Null));
}

#[test]
fn many_at_once_also_of_machines_that_something_else_runs() {
    let it = Rebuilt::by("echo one; sleep 1; exit 9");
    let home = &it.guest.home;
    let address = format!("{}@127.0.0.1:{}", whoami(), it.guest.port);
    let key = it.guest.file(Identity::LOGIN_KEY).display().to_string();
    let host_key = fs::read_to_string(it.guest.file(Identity::HOST_PUBLIC_KEY)).unwrap();
    home.ok(&["adopt", "box", &address, "-i", &key, "--host-key", host_key.trim()]);
    // Both are one machine, so one of them joins the other.
    let ran = home.run(&["rebuild", "vm", "box"]);
    let mut lines: Vec<&str> = ran.out.lines().collect();
    lines.sort_unstable();
    assert_eq!((ran.code, lines), (9, vec!["box | one", "vm  | one"]), "{}", ran.err);
    assert!(
        ran.err.contains("rebuild in `vm` failed") && ran.err.contains("rebuild in `box` failed"),
        "{}",
        ran.err
    );
    // One that is not reached is a failure of its own, and those that something else runs have to be named.
    it.does("exit 0");
    home.ok(&["create", "off", "--no-default-ports"]);
    let ran = home.run(&["rebuild", "box", "off", "-j", "1"]);
    assert_eq!(ran.code, 125, "{}", ran.err);
    assert!(ran.err.contains("box: rebuilt in ") && ran.err.contains("`ai-vm start off`"), "{}", ran.err);
    let ran = home.run(&["rebuild", "--all"]);
    assert!(ran.err.contains("vm: rebuilt in ") && !ran.err.contains("box"), "{}", ran.err);
}

#[test]
fn an_older_image_is_shown() {
    let it = Rebuilt::by("");
    let home = &it.guest.home;
    assert_eq!(home.list()[0]["outdated"], serde_json::Value::Null);
    let record = home.vm("vm").join("vm.toml");
    let text = fs::read_to_string(&record).unwrap();
    for (base, outdated) in [
        ("debian-000000000000".to_owned(), true),
        (ai_vm::guest::debian::image_id(ai_vm::guest::debian::Variant::Plain), false),
    ] {
        fs::write(&record, text.replacen("\n\n", &format!("\nbase = \"{base}\"\n\n"), 1)).unwrap();
        assert_eq!(home.list()[0]["outdated"], outdated, "{}", fs::read_to_string(&record).unwrap());
        assert_eq!(home.ok(&["ls"]).out.contains("OUTDATED"), outdated);
        assert_eq!(home.ok(&["info", "vm"]).out.contains(&format!("{base}, outdated")), outdated);
    }
}

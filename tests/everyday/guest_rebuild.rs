//! The Debian guest's `rebuild`, outside a guest: the real script, with stand-ins for apt and dpkg.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::home::{Ran, finish, wait};

const PATIENCE: Duration = Duration::from_secs(60);

/// What `rebuild` and the stand-ins call, besides what the stand-ins play.
const TOOLS: &str =
    "awk bash cat cp dirname find flock ls mkdir mv paste readlink rm sed sh sha256sum sleep sort touch";

/// A machine that is none.
struct Machine {
    dir: tempfile::TempDir,
}

impl Machine {
    /// One on which `base` was installed by hand and `leftover` by something else.
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("ai-vm-test.").tempdir().unwrap();
        let machine = Self { dir };
        for name in ["bin", "setup.d", "world", "world/updates"] {
            fs::create_dir(machine.path(name)).unwrap();
        }
        // Nothing else is in the PATH: the real apt must never be found here.
        let real = std::env::var("PATH").unwrap();
        for tool in TOOLS.split(' ') {
            let found = std::env::split_paths(&real).map(|dir| dir.join(tool)).find(|path| path.exists());
            symlink(found.unwrap_or_else(|| panic!("no {tool}")), machine.path("bin").join(tool)).unwrap();
        }
        for tool in ["apt-get", "apt-cache", "apt-mark", "dpkg", "dpkg-query"] {
            machine.write_executable(&format!("bin/{tool}"), include_str!("stand_in/apt.sh"));
        }
        machine.write(
            "world/repository",
            "bar 1.0 libbar -\nlibbar 0.9 - -\nbaz 3 bar -\ng++ 14 - -\nexim 4 - postfix\npostfix 3 - exim\n",
        );
        machine.write("world/status", "base 1 manual\nleftover 1 auto\n");
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn write_executable(&self, name: &str, text: &str) {
        self.write(name, text);
        fs::set_permissions(self.path(name), PermissionsExt::from_mode(0o755)).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn list(&self, text: &str) -> &Self {
        self.write("packages", text);
        self
    }

    fn script(&self, name: &str, text: &str) {
        self.write_executable(&format!("setup.d/{name}"), &format!("#!/bin/sh\n{text}\n"));
    }

    fn command(&self, args: &[&str]) -> Command {
        let script = "src/guest/debian/build/rootfs/usr/local/bin/rebuild";
        let mut command = Command::new("bash");
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(script)).args(args).env_clear();
        command.env("PATH", self.path("bin")).env("AI_VM_NO_SUDO", "1").stdin(Stdio::null());
        for (name, place) in [
            ("PACKAGES", "packages"),
            ("SETUP", "setup.d"),
            ("STATE", "state"),
            ("RESTART", "restart"),
            ("UNFINISHED", "world/updates"),
        ] {
            command.env(format!("AI_VM_{name}"), self.path(place));
        }
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        finish(self.command(args), PATIENCE)
    }

    /// Rebuilds, which has to end with this code, and returns what was said.
    fn rebuilt(&self, code: i32) -> String {
        let ran = self.run(&[]);
        assert_eq!(ran.code, code, "{}{}", ran.out, ran.err);
        ran.err
    }

    /// The names of what is installed.
    fn installed(&self) -> String {
        let status = self.read("world/status");
        status.lines().filter_map(|line| line.split(' ').next()).collect::<Vec<_>>().join(" ")
    }

    /// Begins to rebuild in a process group of its own, and waits until a file is there.
    fn begin(&self, until: &str) -> Child {
        let mut command = self.command(&[]);
        let child = command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        self.expect(until);
        child
    }

    fn expect(&self, file: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.path(file).exists() {
            assert!(Instant::now() < deadline, "{file} does not come");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn has(said: &str, lines: &[&str]) {
    for line in lines {
        assert!(said.lines().any(|found| found == format!("rebuild: {line}")), "no `{line}` in:\n{said}");
    }
}

#[test]
fn what_is_listed_comes_and_what_is_taken_off_goes() {
    let it = Machine::new();
    it.list("# a comment\n bar # for the tests\r\ng++\n\nbar\nbase");
    let ran = it.run(&["--dry-run"]);
    has(&ran.err, &["what is to be done:", "  install bar 1.0", "  install libbar 0.9, which is needed"]);
    assert_eq!((ran.code, it.installed().as_str()), (0, "base leftover"), "a dry run did something");
    has(
        &it.rebuilt(0),
        &["what changed:", "  installed bar 1.0", "  installed libbar 0.9", "no restart is needed"],
    );
    assert_eq!(it.installed(), "bar base g++ leftover libbar");
    let calls = it.read("world/calls");
    assert_eq!(it.rebuilt(0), "rebuild: nothing changed\n");
    assert_eq!(it.read("world/calls"), calls, "apt was asked to do something where nothing is to be done");
    // What was there before goes never, listed or not; what was needed by what goes does too.
    has(&it.list("").rebuilt(0), &["  remove bar 1.0", "  removed g++ 14", "  removed libbar 0.9"]);
    assert_eq!(it.installed(), "base leftover");
    assert_eq!(it.rebuilt(0), "rebuild: nothing changed\n");
    // What cannot be beside what is listed now goes first.
    it.list("exim").rebuilt(0);
    has(&it.list("postfix").rebuilt(0), &["  removed exim 4", "  installed postfix 3"]);
    // Without a list nothing is to be concluded.
    fs::remove_file(it.path("packages")).unwrap();
    assert!(it.rebuilt(0).contains("packages stay as they are"));
    assert_eq!(it.installed(), "base leftover postfix");
}

#[test]
fn what_something_else_needs_stays_until_it_goes() {
    let it = Machine::new();
    it.list("bar").rebuilt(0);
    has(&it.list("baz").rebuilt(0), &["  keep bar, which something else needs", "  installed baz 3"]);
    assert_eq!(it.installed(), "bar base baz leftover libbar");
    it.list("").rebuilt(0);
    assert_eq!(it.installed(), "base leftover");
    // The same where somebody installed by hand what needs it.
    it.list("bar").rebuilt(0);
    let by_hand = format!("{}baz 3 manual\n", it.read("world/status"));
    it.write("world/status", &by_hand);
    has(&it.list("").rebuilt(0), &["  keep bar, which something else needs"]);
    assert_eq!(it.installed(), "bar base baz leftover libbar");
    // Nothing that was not installed by rebuild makes way for what is listed.
    it.write("world/status", "base 1 manual\nexim 4 manual\n");
    let said = it.list("postfix").rebuilt(1);
    assert!(said.contains("would remove `exim`"), "{said}");
    assert_eq!(it.installed(), "base exim");
}

#[test]
fn names_that_are_none_are_told_with_their_lines_before_anything_changes() {
    let it = Machine::new();
    it.list("bar\nbar=1.0\n../x\nBar\nfoo-\n");
    let said = it.rebuilt(2);
    for (line, name) in [(2, "bar=1.0"), (3, "../x"), (4, "Bar"), (5, "foo-")] {
        assert!(said.contains(&format!("packages:{line}: `{name}` is not the name")), "{said}");
    }
    let said = it.list("bar\n\nnope # or is it?\n").rebuilt(2);
    assert!(said.contains("packages:3: there is no package `nope`"), "{said}");
    has(&said, &["nothing was changed"]);
    assert_eq!(it.installed(), "base leftover");
    assert_eq!(it.run(&["--what"]).code, 2);
}

#[test]
fn the_network_is_asked_for_only_where_it_is_needed() {
    let it = Machine::new();
    it.write("world/offline", "");
    assert_eq!(it.list("base").rebuilt(0), "rebuild: nothing changed\n");
    let said = it.list("bar").rebuilt(1);
    assert!(said.contains("could not be fetched") && said.contains("do not have: bar"), "{said}");
    fs::remove_file(it.path("world/offline")).unwrap();
    it.rebuilt(0);
    // The lists are young, and know the next one.
    it.list("bar\ng++").rebuilt(0);
    assert_eq!(it.read("world/calls").matches("update").count(), 2);
    // Old ones have to do where there are no others.
    let long_ago = Command::new("touch").args(["-d", "2 days ago"]).arg(it.path("state/refreshed")).status();
    assert!(long_ago.unwrap().success());
    it.write("world/offline", "");
    assert!(it.list("exim").rebuilt(0).contains("have to do"));
    assert_eq!(it.installed(), "base exim leftover");
}

#[test]
fn scripts_run_in_order_once_for_each_content() {
    let it = Machine::new();
    let (log, dir) = (it.path("log"), it.path("setup.d"));
    for name in ["20-second", "10-first.sh", "10-First"] {
        it.script(name, &format!("pwd >>'{0}'; echo {name} $AI_VM_USER >>'{0}'; cat", log.display()));
    }
    for name in ["README.md", "30-old~", ".hidden", "50-x.bak"] {
        it.script(name, "exit 9");
    }
    it.write("setup.d/40-forgotten", "exit 9");
    let said = it.list("").rebuilt(0);
    assert!(said.contains(&format!("chmod +x {}/40-forgotten", dir.display())), "{said}");
    has(&said, &[&format!("  ran {}/20-second", dir.display())]);
    assert_eq!(it.read("log"), "/\n10-First root\n/\n10-first.sh root\n/\n20-second root\n");
    fs::remove_file(it.path("setup.d/40-forgotten")).unwrap();
    assert_eq!(it.rebuilt(0), "rebuild: nothing changed\n");
    // A touch is no change; another content is, and one that comes back after it was gone.
    it.script("10-first.sh", &format!("echo changed >>'{}'", log.display()));
    fs::remove_file(it.path("setup.d/20-second")).unwrap();
    it.rebuilt(0);
    it.script("20-second", &format!("echo back >>'{}'", log.display()));
    it.rebuilt(0);
    assert!(it.read("log").ends_with("20-second root\nchanged\nback\n"), "{}", it.read("log"));
    assert_eq!(it.run(&["--again"]).code, 0);
    assert!(it.read("log").ends_with("back\n/\n10-First root\nchanged\nback\n"), "{}", it.read("log"));
}

#[test]
fn the_first_script_that_fails_ends_it_and_is_tried_again() {
    let it = Machine::new();
    it.list("bar");
    it.script("10-fails", "echo broken >&2; exit 7");
    it.script("20-later", &format!("echo ran >'{}'", it.path("later").display()));
    let said = it.rebuilt(7);
    assert!(said.contains("10-fails failed with exit code 7"), "{said}");
    // What was done before is told all the same.
    has(&said, &["  installed bar 1.0"]);
    assert!(!it.path("later").exists());
    has(&it.rebuilt(7), &["nothing changed"]);
    it.script("10-fails", "kill -TERM $$");
    it.rebuilt(143);
    it.script("10-fails", "exit 0");
    it.rebuilt(0);
    assert_eq!(it.read("later"), "ran\n");
}

#[test]
fn what_apt_cannot_do_is_told_and_forgets_nothing() {
    let it = Machine::new();
    it.list("bar").rebuilt(0);
    it.write("world/broken", "");
    let said = it.list("g++").rebuilt(1);
    has(&said, &["apt failed with exit code 100", "nothing changed"]);
    fs::remove_file(it.path("world/broken")).unwrap();
    it.rebuilt(0);
    assert_eq!(it.installed(), "base g++ leftover");
}

#[test]
fn killed_midway_and_repeated() {
    let it = Machine::new();
    it.list("exim").rebuilt(0);
    it.write("world/hold", "");
    it.list("postfix\nbar");
    let mut child = it.begin("world/held");
    let group = format!("-{}", child.id());
    assert!(Command::new("kill").args(["-KILL", "--", &group]).status().unwrap().success());
    child.wait().unwrap();
    assert_eq!(it.installed(), "base leftover", "it was not killed when it was half done");
    fs::remove_file(it.path("world/hold")).unwrap();
    let said = it.rebuilt(0);
    has(&said, &["finishing what was broken off", "  installed bar 1.0", "  installed postfix 3"]);
    assert!(it.read("world/calls").contains("dpkg --configure -a"));
    assert_eq!(it.rebuilt(0), "rebuild: nothing changed\n");
    it.list("").rebuilt(0);
    assert_eq!(it.installed(), "base leftover", "what the killed one installed was forgotten");
}

#[test]
fn two_at_once_take_turns() {
    let it = Machine::new();
    let gate = it.path("gate");
    it.list("");
    // What it leaves behind does not keep the lock.
    let leave = format!("sleep 300 >/dev/null 2>&1 & echo $! >'{0}.left'; : >'{0}.begun'", gate.display());
    it.script("10-slow", &format!("{leave}; until [ -e '{}' ]; do sleep 0.02; done", gate.display()));
    let first = it.begin("gate.begun");
    let mut impatient = it.command(&[]);
    impatient.env("AI_VM_PATIENCE", "1");
    let ran = finish(impatient, PATIENCE);
    let pid = first.id().to_string();
    assert_eq!(ran.code, 75, "{}", ran.err);
    assert!(ran.err.contains(&format!("process {pid} is still rebuilding")), "{}", ran.err);
    let second = it.command(&[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    it.write("gate", "");
    assert_eq!(wait(first, PATIENCE, "the first").code, 0);
    let ran = wait(second, PATIENCE, "the second");
    assert_eq!(ran.code, 0);
    assert!(ran.err.ends_with("rebuild: nothing changed\n"), "{}", ran.err);
    assert!(Command::new("kill").arg(it.read("gate.left").trim()).status().unwrap().success());
}

#[test]
fn a_restart_is_asked_for_where_one_is_needed() {
    let it = Machine::new();
    it.write("world/repository", "tool 1 libc6 -\nlibc6 2.42 - -\nlinux-image-9 9 - -\n");
    it.write("restart", "");
    it.write("restart.pkgs", "udev\nudev\n");
    has(&it.list("").rebuilt(0), &["nothing changed", "a restart is needed for: udev"]);
    fs::remove_file(it.path("restart")).unwrap();
    let said = it.list("linux-image-9").rebuilt(0);
    has(&said, &["no restart is needed"]);
    assert!(said.contains("that is the kernel of its image"), "{said}");
}

//! How things are getting on, as programs are told: `--progress json`, `plain` and `none`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use serde_json::{Value, json};

use crate::fleet::Fleet;
use crate::home::{Home, Ran, wait};
use crate::machine;
use crate::sshd::Guest;

const PATIENCE: Duration = Duration::from_secs(60);

/// Every line of stderr as an object, each of which has its time. The last one says how the whole ended.
fn told(ran: &Ran) -> Vec<Value> {
    objects(&ran.err, ran.code)
}

fn objects(err: &str, code: i32) -> Vec<Value> {
    let read = |line: &str| -> Value {
        let object: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(humantime::parse_rfc3339(object["time"].as_str().unwrap()).is_ok(), "{line}");
        object
    };
    let all: Vec<Value> = err.lines().map(read).collect();
    let last = all.last().unwrap_or_else(|| panic!("nothing was told"));
    let result = if code == 0 { "ok" } else { "failed" };
    assert_eq!(
        (&last["event"], &last["exit"], &last["result"]),
        (&json!("exit"), &json!(code), &json!(result))
    );
    assert_eq!(of(&all, "exit").len(), 1);
    all
}

fn of(all: &[Value], event: &str) -> Vec<Value> {
    all.iter().filter(|object| object["event"] == event).cloned().collect()
}

fn steps(all: &[Value]) -> Vec<String> {
    of(all, "step").iter().map(|object| object["step"].as_str().unwrap().to_owned()).collect()
}

/// Makes a program of a script.
fn program(path: &Path, script: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("#!/bin/sh\n{script}")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A run whose stderr is read while it goes on.
struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: String,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            stderr.lines().map_while(Result::ok).all(|line| sender.send(line).is_ok())
        });
        Self { child, lines, seen: String::new() }
    }

    /// Waits until something is told.
    fn expect(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("it was not told: {}", self.seen));
            self.seen.push_str(&format!("{line}\n"));
            let object = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            if is_it(&object) {
                return object;
            }
        }
    }

    /// Waits for the end and returns all that was told.
    fn finish(mut self) -> Vec<Value> {
        let ran = wait(self.child, PATIENCE, "it");
        self.lines.iter().for_each(|line| self.seen.push_str(&format!("{line}\n")));
        objects(&self.seen, ran.code)
    }
}

/// A server whose commands wait, before they read or after a part of what they write, until they may go on.
pub struct Gated {
    pub guest: Guest,
    gate: PathBuf,
}

impl Gated {
    pub fn new() -> Self {
        let mut guest = Guest::silent();
        let (gate, script) = (guest.home.dir().join("gate"), guest.home.dir().join("gated"));
        let wait = format!("while [ ! -e '{}' ]; do sleep 0.02; done", gate.display());
        let command = "sh -c \"$SSH_ORIGINAL_COMMAND\"";
        // What `cp` runs to send says so by its arguments only, so that both ends wait.
        program(
            &script,
            &format!(
                "cd '{}'\n{{ head -c 65536; {wait}; cat; }} | {command} | {{ head -c 65536; {wait}; cat; }}\n",
                guest.home.dir().display()
            ),
        );
        guest.start_server(&format!("ForceCommand {}", script.display()));
        Self { guest, gate }
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.guest.home.command(args);
        command.current_dir(self.guest.home.dir());
        command
    }

    pub fn open(&self) {
        fs::write(&self.gate, "").unwrap();
    }
}

#[test]
fn a_start_that_fails_in_time_is_told_step_by_step() {
    let home = Home::new();
    let flags = machine::empty(&home);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let argv = [&["--progress", "json", "up", "vm", "--timeout", "3"], flags.as_slice()].concat();
    let ran = home.run(&argv);
    assert_eq!((ran.code, ran.out.as_str()), (5, ""), "{}", ran.err);
    let all = told(&ran);
    let wanted = ["making the image: copying", "making the image: checking", "starting QEMU", "booting"];
    let steps = steps(&all);
    assert_eq!(steps.iter().filter(|step| wanted.contains(&step.as_str())).count(), 4, "{steps:?}");
    assert!(of(&all, "step").iter().all(|step| step["about"] == "vm"));
    assert!(of(&all, "note")[0]["message"].as_str().unwrap().starts_with("vm: created, "), "{}", ran.err);
    let (errors, ends) = (of(&all, "error"), of(&all, "end"));
    assert_eq!((errors.len(), ends.len()), (1, 1), "{}", ran.err);
    assert_eq!((&errors[0]["code"], &errors[0]["about"]), (&json!("timeout"), &json!("vm")));
    assert!(errors[0]["hints"].as_array().is_some_and(|hints| !hints.is_empty()), "{}", errors[0]);
    assert_eq!((&ends[0]["about"], &ends[0]["result"]), (&json!("vm"), &json!("failed")));
    // What it is about is on stdout as well, where that was asked for.
    let ran = home.run(&["stop", "vm", "--force", "--json", "--progress", "json"]);
    let (rows, all): (Value, _) = (serde_json::from_str(&ran.out).unwrap(), told(&ran));
    assert_eq!((&rows[0]["ok"], &of(&all, "end")[0]["result"]), (&json!(true), &json!("ok")));
    assert_eq!(self::steps(&all), ["ending QEMU"]);
}

#[test]
fn mistakes_and_failures_are_objects_with_their_sort_and_hints() {
    let home = Home::new();
    for (argv, code, sort) in [
        (&["--progress", "json", "stop", "nobody"][..], 3, "not_found"),
        (&["stop", "--progress=json"], 2, "usage"),
        (&["up", "--progress", "json", "--rum", "8"], 2, "usage"),
        (&["exec", "--progress", "json", "web", "make"], 2, "usage"),
        (&["--progress", "json", "cp", "a", "b"], 2, "usage"),
    ] {
        let ran = home.run(argv);
        assert_eq!(ran.code, code, "{argv:?}: {}", ran.err);
        let error = &of(&told(&ran), "error")[0];
        assert_eq!(error["code"], sort, "{argv:?}");
        assert!(!error["message"].as_str().unwrap().is_empty() && error["hints"].is_array(), "{error}");
    }
    let mut by_variable = home.command(&["stop", "nobody"]);
    by_variable.env("AI_VM_PROGRESS", "json");
    let ran = crate::home::finish(by_variable, PATIENCE);
    assert_eq!(of(&told(&ran), "end")[0]["about"], "nobody");
    let mut wrong = home.command(&["ls"]);
    wrong.env("AI_VM_PROGRESS", "loud");
    let ran = crate::home::finish(wrong, PATIENCE);
    assert!(ran.code == 2 && ran.err.contains("AI_VM_PROGRESS is `loud`"), "{}", ran.err);
    // What is typed is nearer.
    let mut typed = home.command(&["--progress", "none", "ls", "-q"]);
    typed.env("AI_VM_PROGRESS", "loud");
    assert_eq!(crate::home::finish(typed, PATIENCE).err, "");
}

#[test]
fn a_copy_says_how_much_of_how_much() {
    let it = Gated::new();
    let size: u64 = 8 << 20;
    fs::create_dir(it.guest.home.dir().join("tree")).unwrap();
    fs::write(it.guest.home.dir().join("tree/file"), vec![7; size as usize]).unwrap();
    for argv in [&["-r", "tree", "vm:new"][..], &["-ru", "tree/.", "vm:new"], &["vm:tree/file", "back"]] {
        let _ = fs::remove_file(&it.gate);
        let _ = fs::remove_dir_all(it.guest.home.dir().join("new"));
        let command = it.command(&[&["cp", "--no-mux", "--progress", "json"], argv].concat());
        if argv[0] == "-ru" {
            // Both sides are compared by commands, which would wait too.
            it.open();
        }
        let mut running = Running::start(command);
        if argv[0] != "-ru" {
            let progress = running.expect(|object| object["event"] == "progress" && object["total"] == size);
            assert_eq!((&progress["about"], &progress["step"]), (&json!("vm"), &json!("copying")));
            assert_eq!(progress["unit"], "bytes");
            let done = progress["done"].as_u64().unwrap();
            assert!(done > 0 && done < size, "{progress}");
            it.open();
        }
        let all = running.finish();
        assert!(of(&all, "progress").iter().all(|progress| progress["done"].as_u64() <= Some(size)));
        assert_eq!(of(&all, "error"), Vec::<Value>::new(), "{argv:?}");
    }
    assert_eq!(fs::metadata(it.guest.home.dir().join("back")).unwrap().len(), size);
    // How much comes by a pipe nobody knows.
    let mut command = it.command(&["cp", "--progress", "json", "-", "vm:piped"]);
    command.stdin(Stdio::piped());
    let mut running = Running::start(command);
    use std::io::Write;
    let mut stdin = running.child.stdin.take().unwrap();
    stdin.write_all(&[1; 100_000]).unwrap();
    let progress = running.expect(|object| object["done"].as_u64().is_some_and(|done| done > 0));
    assert_eq!((&progress["total"], &progress["eta"]), (&Value::Null, &Value::Null), "{progress}");
    drop(stdin);
    running.finish();
    assert_eq!(fs::metadata(it.guest.home.dir().join("piped")).unwrap().len(), 100_000);
}

#[test]
fn each_of_many_has_its_lines_and_its_end() {
    let fleet = Fleet::new();
    let dead = portpicker::pick_unused_port().unwrap();
    fleet.adopt("dead", dead, &["--no-check"]);
    let script = "printf 'no\\033[31m end'; echo \"on $PWD\" >&2; test a = \"$1\"";
    for flags in [&[][..], &["--json"], &["--group"]] {
        let argv = [&["exec", "--all", "--progress", "json"], flags, &["--", "sh", "-c", script, "sh", "b"]]
            .concat();
        let ran = fleet.home.run(&argv);
        assert_eq!(ran.code, 1, "{}", ran.err);
        let all = told(&ran);
        let mut ends: Vec<_> =
            of(&all, "end").iter().map(|end| (end["about"].clone(), end["result"].clone())).collect();
        ends.sort_by_key(|(about, _)| about.to_string());
        let failed = |name: &str| (json!(name), json!("failed"));
        assert_eq!(ends, ["a", "b", "c", "dead"].map(failed), "{flags:?}");
        let errors = of(&all, "error");
        assert_eq!((errors.len(), &errors[0]["about"]), (1, &json!("dead")), "{flags:?}");
        let said = of(&all, "stderr");
        assert_eq!(said.len(), if flags == ["--json"] { 0 } else { 3 }, "{flags:?}: {}", ran.err);
        assert!(said.iter().all(|line| line["message"].as_str().unwrap().starts_with("on /")));
    }
    let ran = fleet.home.ok(&["exec", "a", "b", "--progress", "json", "--", "true"]);
    let ok = |end: &Value| end["result"] == "ok";
    assert!(of(&told(&ran), "end").iter().all(ok) && ran.out.is_empty(), "{}", ran.err);
    // Of one, stderr is the command's own.
    let ran =
        fleet.home.run(&["exec", "--progress", "json", "a", "--", "sh", "-c", "echo not ours >&2; exit 3"]);
    let (theirs, ours) = ran.err.split_once('\n').unwrap();
    assert_eq!(theirs, "not ours");
    assert_eq!(objects(ours, 3).len(), 1, "{ours}");
}

#[test]
fn an_image_whose_making_fails_is_an_error_with_its_steps_before_it() {
    let home = Home::new();
    let bin = home.dir().join("bin");
    program(&bin.join("mmdebstrap"), "echo 'E: no \u{1b}[31mspace left' >&2; exit 25\n");
    let mut command = home.command(&["image", "build", "--guest", "debian", "--progress", "json"]);
    command.env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()));
    let ran = crate::home::finish(command, PATIENCE);
    assert_eq!(ran.code, 1, "{}", ran.err);
    let all = told(&ran);
    assert!(steps(&all)[0].starts_with("making the image: "), "{all:?}");
    let error = &of(&all, "error")[0];
    let text = error.to_string();
    assert!(
        text.contains("Debian image") && text.contains("space left") && !text.contains("u001b"),
        "{text}"
    );
    assert!(!home.data().join("durations.json").exists(), "what failed says nothing about how long it takes");
}

/// Registers a VM whose image is downloaded, and returns what starts it and the file without which the download stops half-way.
pub fn downloading(home: &Home, flags: &[&str]) -> (Command, PathBuf) {
    let (bin, gate) = (home.dir().join("bin"), home.dir().join("gate"));
    // In the place of curl: the first half, and after a sign the rest.
    let script = format!(
        "while [ $# -gt 0 ]; do case $1 in --dump-header) headers=$2; shift;; --output) to=$2; shift;; esac; shift; done\n\
         printf 'HTTP/1.1 302 Found\\r\\ncontent-length: 5\\r\\n\\r\\nHTTP/2 200\\r\\ncontent-length: 1048576\\r\\n\\r\\n' >\"$headers\"\n\
         head -c 524288 /dev/zero >\"$to\"\nwhile [ ! -e '{}' ]; do sleep 0.02; done\nhead -c 524288 /dev/zero >>\"$to\"\n",
        gate.display()
    );
    program(&bin.join("curl"), &script);
    let sum = "30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58";
    let port = portpicker::pick_unused_port().unwrap().to_string();
    home.ok(&[
        "create",
        "vm",
        "--image",
        "https://example.org/disk.raw",
        "--sha256",
        sum,
        "--accel",
        "tcg",
        "--ram",
        "128mb",
        "--storage",
        "1",
        "--no-default-ports",
        "--ssh-port",
        &port,
    ]);
    let mut command = home.command(&[&["start", "--no-wait", "vm"], flags].concat());
    command.env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()));
    (command, gate)
}

#[test]
fn a_download_says_how_much_of_how_much() {
    let home = Home::new();
    let (command, gate) = downloading(&home, &["--progress", "json"]);
    let mut running = Running::start(command);
    let progress = running.expect(|object| object["event"] == "progress" && object["total"] == 1_048_576);
    assert_eq!(
        (&progress["step"], &progress["done"]),
        (&json!("making the image: downloading"), &json!(524_288))
    );
    fs::write(gate, "").unwrap();
    let all = running.finish();
    assert_eq!(of(&all, "end")[0]["result"], "ok", "{all:?}");
}

#[test]
fn a_boot_tells_what_the_console_says_and_how_long_it_took_before() {
    let guest = Guest::silent();
    fs::remove_file(guest.file("ready")).unwrap();
    fs::write(guest.file("console.log"), "one\n\u{1b}]0;evil\u{7}Started \u{202e}x\n").unwrap();
    let argv = ["wait", "vm", "--timeout", "3", "--progress", "json"];
    // Nothing is known yet.
    let all = told(&guest.home.run(&argv));
    let progress = of(&all, "progress");
    assert_eq!((&progress[0]["step"], &progress[0]["detail"]), (&json!("booting"), &json!("Started x")));
    assert!(progress.iter().all(|told| told["eta"].is_null()), "{progress:?}");
    fs::write(guest.home.data().join("durations.json"), r#"{"boot debian tcg":[["booting",100000.0]]}"#)
        .unwrap();
    let progress = of(&told(&guest.home.run(&argv)), "progress");
    let eta = progress[0]["eta"].as_u64().unwrap();
    assert!((90_000..=100_000).contains(&eta), "{eta}");
}

#[test]
fn none_leaves_errors_and_warnings() {
    let home = Home::new();
    let flags = machine::empty(&home);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let ran = home.ok(&[&["create", "vm", "--progress", "none"], flags.as_slice()].concat());
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", ""));
    let ran = home.ok(&["--progress", "none", "start", "--no-wait", "vm"]);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", ""));
    let ran = home.run(&["--progress", "none", "stop", "nobody"]);
    assert!(ran.code == 3 && ran.err.starts_with("error: there is no VM named `nobody`"), "{}", ran.err);
    let ran = home.ok(&["--progress", "none", "stop", "-t", "1", "vm"]);
    assert!(
        ran.err.starts_with("vm: warning: it did not power off") && ran.err.lines().count() == 1,
        "{}",
        ran.err
    );
}

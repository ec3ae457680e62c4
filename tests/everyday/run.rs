//! `ai-vm run`: prompts for agents without a terminal, against a real SSH server. Claude Code is played by a script that
//! talks as it does.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ai_vm::host::detached;
use ai_vm::host::layout::VmDir;
use serde_json::Value;

use crate::home::{Ran, finish, wait};
use crate::pty::Pty;
use crate::sshd::Guest;

const PATIENCE: Duration = Duration::from_secs(60);

/// A VM with a stand-in for start-claude.
struct Stage {
    guest: Guest,
}

impl Stage {
    fn new() -> Self {
        let stage = Self { guest: Guest::serve("") };
        fs::create_dir_all(stage.path("bin")).unwrap();
        fs::create_dir_all(stage.path("work")).unwrap();
        fs::write(stage.path("bin/start-claude"), include_str!("stand_in/headless.sh")).unwrap();
        fs::set_permissions(stage.path("bin/start-claude"), PermissionsExt::from_mode(0o755)).unwrap();
        let profile = format!("PATH='{}':$PATH\nexport PATH\numask 027\n", stage.path("bin").display());
        fs::write(stage.path(".profile"), profile).unwrap();
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.guest.home.dir().join(name)
    }

    fn run(&self, args: &[&str]) -> Ran {
        self.guest.home.run(&[&["run", "vm"], args].concat())
    }

    fn json(&self, args: &[&str]) -> (Vec<Value>, Ran) {
        let ran = self.run(&[&["--json"], args].concat());
        (serde_json::from_str(&ran.out).unwrap(), ran)
    }

    /// The directories of agents there, in order of their IDs.
    fn agents(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.path(".local/state/ai-vm/agents")) else { return Vec::new() };
        let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        found.sort();
        found
    }

    fn agent(&self) -> PathBuf {
        let mut all = self.agents();
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    /// The copy of a log on this side.
    fn kept(&self, id: &str) -> Vec<u8> {
        fs::read(self.guest.file("runs").join(format!("{id}.log"))).unwrap_or_default()
    }

    fn begin(&self, args: &[&str]) -> Child {
        let mut command = self.guest.home.command(&[&["run", "vm"], args].concat());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn expect(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(Instant::now() < deadline, "{what} does not come");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Lets those go on that wait for it.
    fn go_on(&self) {
        fs::write(self.path("go"), "").unwrap();
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.go_on();
    }
}

/// What a prompt does that waits for the test, says more, and fails.
const UNTIL_TOLD: &str = "go\n!: >~/begun.$AI_VM_RUN; until [ -e ~/go ] || [ ! -e ~ ]; do sleep 0.02; done\n";

fn read(dir: &std::path::Path, name: &str) -> String {
    fs::read_to_string(dir.join(name)).unwrap_or_default()
}

#[test]
fn one_prints_its_answer_and_says_meanwhile_what_it_does() {
    let it = Stage::new();
    let prompt = "it's \"this\" $HOME `id` \\ -x é\n!umask >mask; pwd >where; test -t 0 || : >closed\nend ";
    let ran = it.run(&["-C", "work", "--", prompt]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let dir = it.agent();
    assert_eq!(read(&dir, "got"), prompt);
    let id = dir.file_name().unwrap().to_str().unwrap().to_owned();
    for said in ["begun, stand-in", "I shall look.", "[Bash] make test", &id] {
        assert!(ran.err.contains(said), "no `{said}`: {}", ran.err);
    }
    assert!(!ran.err.contains("tool_result") && !ran.err.contains("At all"), "{}", ran.err);
    assert_eq!(read(&it.path("work"), "mask").trim(), "0027");
    let work = it.path("work").canonicalize().unwrap();
    assert_eq!(read(&work, "where").trim(), work.to_str().unwrap());
    assert_eq!((read(&dir, "kind"), read(&dir, "command")), ("run\n".into(), "claude\n".into()));
    assert_eq!(
        (read(&dir, "exit"), read(&dir, "prompt").trim_end()),
        ("0\n".into(), prompt.replace('\n', " ").trim_end())
    );
    assert_eq!(read(&dir, "input"), prompt);
    for file in ["input", "log", "err", "line"] {
        assert_eq!(fs::metadata(dir.join(file)).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(it.kept(&id), fs::read(dir.join("log")).unwrap());
}

#[test]
fn the_answer_is_all_that_stdout_has() {
    let it = Stage::new();
    let ran = it.run(&["--", "answer me"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "answer me (1)\n"), "{}", ran.err);
    assert!(ran.err.contains("2 turns, $0.12"), "{}", ran.err);
    // From stdin, asked for or because nothing else is said.
    for args in [["run", "vm", "--", "-"].as_slice(), &["run", "vm"]] {
        let file = it.path("prompt");
        fs::write(&file, "from stdin\n").unwrap();
        let mut command = it.guest.home.command(args);
        command.stdin(fs::File::open(&file).unwrap());
        let ran = finish(command, PATIENCE);
        assert_eq!((ran.code, ran.out.as_str()), (0, "from stdin (1)\n"), "{}", ran.err);
    }
    let ran = it.run(&["--", " "]);
    assert!(ran.code == 2 && ran.err.contains("hint: "), "{ran:?}");
}

#[test]
fn several_are_a_table_or_json_and_no_more_at_once_than_asked_for() {
    let it = Stage::new();
    // Each says how many there are when it begins.
    let prompt =
        "count\n!cd; mkdir here.$AI_VM_RUN; ls -d here.* | wc -l >>seen; sleep 0.3; rmdir here.$AI_VM_RUN";
    let ran = it.run(&["--count", "6", "--max", "2", "--", prompt]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let lines: Vec<&str> = ran.out.lines().collect();
    assert!(lines.len() == 7 && lines[0].starts_with("VM "), "{}", ran.out);
    for (at, line) in lines[1..].iter().enumerate() {
        let run = at + 1;
        assert!(
            line.starts_with(&format!("vm/{run} ")) && line.ends_with(&format!("count ({run})")),
            "{line}"
        );
        assert!(line.contains(" done ") && line.contains(" $0.12 "), "{line}");
    }
    assert!(ran.err.contains("vm/3 | [Bash] make test"), "{}", ran.err);
    let seen = fs::read_to_string(it.path("seen")).unwrap();
    let most = seen.lines().map(|count| count.trim().parse::<u32>().unwrap()).max();
    assert_eq!((seen.lines().count(), most), (6, Some(2)), "{seen}");

    let (rows, ran) = it.json(&["--count", "3", "--", "name it\n![ $AI_VM_RUN != 2 ] || exit 9"]);
    assert_eq!((ran.code, ran.err.as_str()), (9, ""));
    for (at, row) in rows.iter().enumerate() {
        assert_eq!((&row["name"], &row["run"]), (&"vm".into(), &(at + 1).into()));
        let log = row["log"].as_str().unwrap();
        let there = it.path(".local/state/ai-vm/agents").join(row["id"].as_str().unwrap()).join("log");
        assert_eq!(fs::read(log).unwrap(), fs::read(there).unwrap());
    }
    assert_eq!(
        (&rows[0]["state"], &rows[0]["exit"], &rows[0]["error"]),
        (&"done".into(), &0.into(), &Value::Null)
    );
    assert_eq!((&rows[0]["result"], &rows[0]["turns"]), (&"name it (1)".into(), &2.into()));
    assert_eq!((&rows[0]["cost_usd"], &rows[0]["session_id"]), (&0.125.into(), &"5e55-10".into()));
    assert_eq!((&rows[1]["state"], &rows[1]["exit"]), (&"failed".into(), &9.into()));
    assert!(rows[1]["error"]["message"].as_str().unwrap().contains("exit code 9"));
}

#[test]
fn dropped_links_lose_nothing_and_double_nothing() {
    let it = Stage::new();
    let body = "many\n!: >~/begun.1; i=0; while [ $i -lt 3000 ]; do echo \"line $i\"; i=$((i + 1)); \
                [ $((i % 100)) != 0 ] || sleep 0.1; done; until [ -e ~/go ] || [ ! -e ~ ]; do sleep 0.02; done";
    let child = it.begin(&["--", body]);
    it.expect("the run", |it| it.path("begun.1").exists());
    for _ in 0..8 {
        std::thread::sleep(Duration::from_millis(400));
        it.guest.server.as_ref().unwrap().break_connections();
    }
    it.go_on();
    let ran = wait(child, PATIENCE, "run");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("the connection is lost") && ran.err.contains("connected again"), "{}", ran.err);
    let dir = it.agent();
    let kept = it.kept(dir.file_name().unwrap().to_str().unwrap());
    assert_eq!(kept, fs::read(dir.join("log")).unwrap());
    let text = String::from_utf8(kept).unwrap();
    let numbers: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("line ")).collect();
    assert_eq!(numbers, (0..3000).map(|number| number.to_string()).collect::<Vec<_>>());
    // What was shown meanwhile is the same.
    let shown: Vec<&str> = ran.out.lines().filter_map(|line| line.strip_prefix("line ")).collect();
    assert_eq!(shown, numbers);
}

#[test]
fn it_ends_while_nobody_is_connected_and_that_is_learnt_later() {
    let mut it = Stage::new();
    let child = it.begin(&["--", &format!("{UNTIL_TOLD}!exit 7")]);
    it.expect("the run", |it| it.path("begun.1").exists());
    it.guest.pull_the_plug();
    it.go_on();
    let dir = it.agent();
    it.expect("its end", |_| dir.join("exit").exists());
    it.guest.start_server("");
    let ran = wait(child, PATIENCE, "run");
    assert_eq!(ran.code, 7, "{}", ran.err);
}

#[test]
fn a_signal_leaves_them_going_on_and_says_what_can_be_done() {
    let it = Stage::new();
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let child = it.begin(&["--count", "2", "--max", "1", "--", UNTIL_TOLD]);
        it.expect("the run", |it| it.path("begun.1").exists());
        // So that the word of it is here too.
        let is_known = |dir: &PathBuf| !it.kept(dir.file_name().unwrap().to_str().unwrap()).is_empty();
        it.expect("its log", |it| it.agents().iter().all(is_known));
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
        let ran = wait(child, PATIENCE, "run");
        assert_eq!((ran.code, ran.out.as_str()), (code, ""), "{}", ran.err);
        for words in
            ["vm/1: goes on", "`ai-vm agents logs -f vm ", "`ai-vm agents stop vm ", "vm/2: not begun"]
        {
            assert!(ran.err.contains(words), "no {words}: {}", ran.err);
        }
        fs::remove_file(it.path("begun.1")).unwrap();
    }
    let dirs = it.agents();
    assert_eq!(dirs.len(), 2, "what had not begun has begun, or what had is gone");
    assert!(dirs.iter().all(|dir| !dir.join("exit").exists()));
    it.go_on();
    it.expect("their ends", |_| dirs.iter().all(|dir| read(dir, "exit") == "0\n"));
}

#[test]
fn who_was_killed_goes_on_where_it_was() {
    let it = Stage::new();
    let body = "many\n!i=0; while [ $i -lt 2000 ]; do echo \"line $i\"; i=$((i + 1)); done; : >~/begun.1; \
                until [ -e ~/go ] || [ ! -e ~ ]; do sleep 0.02; done; echo 'line 2000'";
    let mut child = it.begin(&["--", body]);
    it.expect("the run", |it| it.path("begun.1").exists());
    let dir = it.agent();
    let id = dir.file_name().unwrap().to_str().unwrap().to_owned();
    it.expect("a part of the log", |it| it.kept(&id).len() > 1000);
    child.kill().unwrap();
    child.wait().unwrap();
    // Two follow it now, of which one keeps what it says.
    let logs: Vec<(Child, PathBuf)> = ["one", "two"]
        .map(|name| {
            let out = it.path(name);
            let mut logs = it.guest.home.command(&["agents", "logs", "--raw", "-f", "vm", &id[..4]]);
            let file = fs::File::create(&out).unwrap();
            (logs.stdout(file).stderr(Stdio::piped()).spawn().unwrap(), out)
        })
        .into();
    let has_all = |out: &PathBuf| fs::read_to_string(out).unwrap().contains("line 1999\n");
    it.expect("what was said", |_| logs.iter().all(|(_, out)| has_all(out)));
    it.guest.server.as_ref().unwrap().break_connections();
    std::thread::sleep(Duration::from_secs(1));
    it.go_on();
    let whole = || fs::read(dir.join("log")).unwrap();
    for (logs, out) in logs {
        let ran = wait(logs, PATIENCE, "logs");
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert!(fs::read(out).unwrap() == whole(), "something is missing, or there twice: {}", ran.err);
    }
    assert!(it.kept(&id) == whole(), "the copy is another one");
    let text = String::from_utf8(whole()).unwrap();
    assert_eq!(text.lines().filter(|line| line.starts_with("line ")).count(), 2001);
}

#[test]
fn what_it_said_can_be_had_later_also_from_a_vm_that_is_gone() {
    let mut it = Stage::new();
    assert_eq!(it.run(&["--", "x"]).code, 0);
    let words = "begun, stand-in\nI shall look.\nAt all.\n[Bash] make test\ndone, 2 turns, $0.12\n";
    let log = fs::read_to_string(it.agent().join("log")).unwrap();
    let id = it.agent().file_name().unwrap().to_str().unwrap().to_owned();
    let logs = |it: &Stage, args: &[&str]| it.guest.home.run(&[&["agents", "logs", "vm"], args].concat());
    for follow in [[].as_slice(), &["-f"]] {
        let ran = logs(&it, follow);
        assert_eq!((ran.code, ran.out.as_str()), (0, words), "{}", ran.err);
        let ran = logs(&it, &[&["--raw"], follow].concat());
        assert_eq!((ran.code, ran.out.as_str()), (0, log.as_str()), "{}", ran.err);
    }
    detached::find_by_stdin(&it.guest.file(VmDir::RUN_LOCK)).unwrap().kill().unwrap();
    it.guest.pull_the_plug();
    let ran = logs(&it, &["--raw", &id[..6]]);
    assert_eq!((ran.code, ran.out.as_str()), (0, log.as_str()), "{}", ran.err);
    assert!(ran.err.contains("this is what was known here"), "{}", ran.err);
    assert_ne!(logs(&it, &["ffffff"]).code, 0);
}

#[test]
fn stopped_all_of_it_ends() {
    let it = Stage::new();
    // One leaves the group, one does not listen.
    let body = "x\n!setsid sh -c 'echo $$ >~/left; exec sleep 1000' & sh -c 'trap \"\" TERM; : >~/begun.1; \
                while :; do sleep 1; done'; sleep 1000";
    let child = it.begin(&["--", body]);
    it.expect("the run", |it| it.path("begun.1").exists() && it.path("left").exists());
    let ran = it.guest.home.ok(&["agents", "stop", "vm"]);
    assert!(ran.err.contains("ended by KILL"), "{}", ran.err);
    let ran = wait(child, PATIENCE, "run");
    assert_eq!(ran.code, 143, "{}", ran.err);
    assert!(ran.err.contains("was stopped"), "{}", ran.err);
    let left = fs::read_to_string(it.path("left")).unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", left.trim())).unwrap_or_default();
    assert!(!status.contains("State:") || status.contains("State:\tZ"), "{status}");
    let agents: Vec<Value> =
        serde_json::from_str(&it.guest.home.ok(&["agents", "--json", "vm"]).out).unwrap();
    let ours = agents.iter().find(|agent| agent["kind"] == "run").unwrap();
    assert_eq!(ours["state"], "stopped");
}

#[test]
fn detached_they_are_only_begun() {
    let it = Stage::new();
    let ran = it.run(&["--detach", "--count", "2", "--", UNTIL_TOLD]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let mut ids: Vec<String> =
        ran.out.lines().map(|line| line.strip_prefix("vm ").unwrap().to_owned()).collect();
    ids.sort();
    let there: Vec<String> =
        it.agents().iter().map(|dir| dir.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(ids, there);
    assert_eq!(it.run(&["--detach", "--max", "1", "--", "x"]).code, 2);
    let (rows, _) = it.json(&["--detach", "--", UNTIL_TOLD]);
    assert_eq!((&rows[0]["state"], &rows[0]["exit"]), (&"running".into(), &Value::Null));
}

#[test]
fn another_agent_gets_the_prompt_as_it_is() {
    let it = Stage::new();
    let line = "printf 'from env: <%s>\\n' \"$AI_VM_PROMPT\"; printf 'from stdin: '; wc -c; exit 3";
    let ran = it.run(&["--agent-cmd", line, "--", "a 'b' \"c\" $d\n\n-e"]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (3, "from env: <a 'b' \"c\" $d\n\n-e>\nfrom stdin: 16\n"),
        "{}",
        ran.err
    );
    assert_eq!(read(&it.agent(), "command").trim_end(), line);
    // Longer than any argument of a program may be: only on stdin.
    let file = it.path("prompt");
    for size in [100 * 1024, 100 * 1024 + 1, 5 << 20] {
        fs::write(&file, "x".repeat(size)).unwrap();
        let line = "printf %s \"${AI_VM_PROMPT-none}\" | wc -c; wc -c";
        let mut command = it.guest.home.command(&["run", "vm", "--agent-cmd", line, "--", "-"]);
        command.stdin(fs::File::open(&file).unwrap());
        let ran = finish(command, PATIENCE);
        let in_variable = if size > 100 * 1024 { 4 } else { size };
        assert_eq!((ran.code, ran.out), (0, format!("{in_variable}\n{size}\n")), "{}", ran.err);
    }
    fs::write(&file, "x".repeat((10 << 20) + 1)).unwrap();
    let mut command = it.guest.home.command(&["run", "vm", "--", "-"]);
    let ran = finish(
        {
            command.stdin(fs::File::open(&file).unwrap());
            command
        },
        PATIENCE,
    );
    assert!(ran.code == 2 && ran.err.contains("10485760"), "{}", ran.err);
}

#[test]
fn what_goes_wrong_is_said_once_and_has_its_exit_code() {
    let it = Stage::new();
    let fails = |args: &[&str], code: i32, words: &[&str]| {
        let ran = it.run(args);
        assert_eq!(ran.code, code, "{args:?}: {}", ran.err);
        for words in words {
            assert_eq!(ran.err.matches(words).count(), 1, "`{words}` once: {}", ran.err);
        }
    };
    fails(
        &["--", "x\n!echo 'no login here' >&2; exit 77"],
        77,
        &["no login here", "`ai-vm creds set vm --token -`"],
    );
    fails(&["--", "x\n!kill -KILL $PPID $$"], 255, &["did not come to its end"]);
    let error = r#"say '{"type":"result","subtype":"success","is_error":true,"result":"Credit balance is too low"}'; exit 0"#;
    fails(&["--", &format!("x\n!{error}")], 1, &["Credit balance is too low"]);
    fails(&["--", &format!("x\n!{}", error.replace("exit 0", "exit 4"))], 4, &["Credit balance is too low"]);
    fails(&["-C", "nowhere", "--", "x"], 125, &["there is no such folder"]);
    fails(
        &["--run-timeout", "1", "--agent-cmd", "sleep 100", "--", "x"],
        124,
        &["exit code 124", "`--run-timeout 2h`"],
    );
    fs::remove_file(it.path("bin/start-claude")).unwrap();
    fails(&["--", "x"], 125, &["there is no command `start-claude`"]);
    it.guest.home.ok(&["create", "off", "--no-default-ports"]);
    let ran = it.guest.home.run(&["run", "off", "nobody", "--", "x"]);
    assert_eq!(ran.code, 125, "{}", ran.err);
    assert!(ran.err.contains("`ai-vm start off`") && ran.err.contains("nobody"), "{}", ran.err);
    assert_eq!(it.guest.home.run(&["run", "--", "x"]).code, 2);
}

#[test]
fn a_guest_that_lies_acts_on_nothing_here() {
    let it = Stage::new();
    let evil = "\u{1b}]52;c;eA==\u{7}\u{1b}[2J\u{1b}[6n";
    let result =
        serde_json::json!({ "type": "result", "subtype": "success", "result": evil, "session_id": evil });
    fs::write(it.path("evil"), format!("{evil}\n{result}\n")).unwrap();
    let body = "x\n!cat ~/evil; exit 0";
    let mut pty = Pty::run(&it.guest.home.command(&["run", "vm", "--", body]));
    assert_eq!(pty.exit_code(), 0, "{}", pty.screen());
    let screen = pty.screen();
    for acts in ["\u{1b}]52", "\u{1b}[6n", "\u{1b}[2J\u{1b}"] {
        assert!(!screen.contains(acts), "{screen:?}");
    }
    // Exit codes that are none.
    for exit in ["256", "-1", "", "0x0", "00"] {
        let body = format!("x\n!echo '{exit}' >$AI_VM_AGENT/exit; kill -KILL $PPID $$");
        let ran = it.run(&["--", &body]);
        assert_eq!(ran.code, 255, "`{exit}`: {}", ran.err);
    }
}

#[test]
fn old_ones_make_room_there() {
    let it = Stage::new();
    let agents = it.path(".local/state/ai-vm/agents");
    for number in 0..60 {
        fs::create_dir_all(agents.join(format!("{number:012x}"))).unwrap();
    }
    let old = agents.join("0000000000ff");
    fs::create_dir(&old).unwrap();
    let days_ago = Command::new("touch").args(["-d", "8 days ago"]).arg(&old).status().unwrap();
    assert!(days_ago.success());
    assert_eq!(it.run(&["--", "x"]).code, 0);
    assert!(it.agents().len() <= 50 && !old.exists(), "{}", it.agents().len());
}

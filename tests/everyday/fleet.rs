//! One command in many machines at once: output, exit codes, and that none waits for another.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::home::{Home, Ran, finish, wait};
use crate::processes;
use crate::sshd::{Server, whoami};

/// A home with the machines `a`, `b` and `c`.
pub struct Fleet {
    pub home: Home,
    _servers: Vec<Server>,
}

impl Fleet {
    /// All of them are one real server.
    pub fn new() -> Self {
        let home = Home::new();
        let server = serve(&home, home.dir());
        Self::of(home, vec![server], |_| 0)
    }

    /// Each is a server with a home directory of its own, which is called like it.
    pub fn apart() -> Self {
        let home = Home::new();
        let servers = ["a", "b", "c"].map(|name| {
            std::fs::create_dir(home.dir().join(name)).unwrap();
            serve(&home, &home.dir().join(name))
        });
        Self::of(home, servers.into(), |at| at)
    }

    fn of(home: Home, servers: Vec<(u16, Server)>, which: impl Fn(usize) -> usize) -> Self {
        let (ports, servers): (Vec<u16>, Vec<Server>) = servers.into_iter().unzip();
        let fleet = Self { home, _servers: servers };
        for (at, name) in ["a", "b", "c"].into_iter().enumerate() {
            fleet.adopt(name, ports[which(at)], &[]);
        }
        fleet
    }

    pub fn adopt(&self, name: &str, port: u16, flags: &[&str]) {
        let address = format!("{}@127.0.0.1:{port}", whoami());
        let key = self.home.dir().join("key").display().to_string();
        let host_key = std::fs::read_to_string(self.home.dir().join("host.pub")).unwrap();
        self.home
            .ok(&[&["adopt", name, &address, "-i", &key, "--host-key", host_key.trim()], flags].concat());
    }

    fn exec(&self, args: &[&str]) -> Ran {
        self.home.run(&[&["exec"], args].concat())
    }
}

/// Starts a server; all of a home have the same keys.
fn serve(home: &Home, dir: &Path) -> (u16, Server) {
    let (host, key) = (home.dir().join("host"), home.dir().join("key"));
    for file in [&host, &key].into_iter().filter(|file| !file.exists()) {
        keygen(file);
    }
    let port = portpicker::pick_unused_port().unwrap();
    (port, Server::start(dir, port, &host, &home.dir().join("key.pub"), ""))
}

fn keygen(file: &Path) {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", "ed25519", "-C", "test", "-N", "", "-f"]).arg(file);
    assert!(command.status().unwrap().success());
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn lines_come_under_their_names() {
    let fleet = Fleet::new();
    for flags in [["a", "b", "c", "--no-mux"].as_slice(), &["a", "b", "c"], &["--all"], &["--all", "-j", "1"]]
    {
        let ran = fleet.exec(&[flags, &["--", "sh", "-c", "echo one; echo two >&2; printf three"]].concat());
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert_eq!(
            sorted(&ran.out),
            ["a | one", "a | three", "b | one", "b | three", "c | one", "c | three"]
        );
        let said: Vec<&str> = ran.err.lines().filter(|line| line.contains(" | ")).collect();
        assert_eq!(said.len(), 3, "{}", ran.err);
    }
    let ran = fleet.exec(&["--all", "--no-prefix", "--", "echo", "x"]);
    assert_eq!(ran.out, "x\nx\nx\n");
    let ran = fleet.exec(&["--all", "--group", "--", "echo", "x"]);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("x\nx\nx\n", "== a\n== b\n== c\n"));
}

#[test]
fn each_has_an_exit_code_and_one_that_is_dead_delays_nobody() {
    let fleet = Fleet::new();
    let dead = portpicker::pick_unused_port().unwrap();
    fleet.adopt("dead", dead, &["--no-check"]);
    let ran = fleet.exec(&["--all", "--timeout", "5", "--", "echo", "up"]);
    assert_eq!(ran.code, 125, "{}", ran.err);
    assert_eq!(sorted(&ran.out), ["a    | up", "b    | up", "c    | up"]);
    assert!(ran.err.contains("error: dead: ") && ran.err.contains("FAILED IN"), "{}", ran.err);
    let ran = fleet.exec(&[
        "--all",
        "--timeout",
        "5",
        "--json",
        "--",
        "sh",
        "-c",
        "echo out; echo err >&2; exit 3",
    ]);
    assert_eq!(ran.code, 1);
    let all: Vec<serde_json::Value> = serde_json::from_str(&ran.out).unwrap();
    let exits: Vec<_> = all.iter().map(|one| one["exit"].as_u64().unwrap()).collect();
    assert_eq!(exits, [3, 3, 3, 125]);
    assert_eq!((&all[0]["stdout"], &all[0]["stderr"]), (&"out\n".into(), &"err\n".into()));
    assert_eq!((&all[0]["truncated"], &all[0]["name"]), (&false.into(), &"a".into()));
    assert!(all[3]["error"].as_str().unwrap().contains(&dead.to_string()), "{}", ran.out);
}

#[test]
fn the_same_input_for_all() {
    let fleet = Fleet::new();
    let input = fleet.home.dir().join("input");
    std::fs::write(&input, "x".repeat(300_000)).unwrap();
    let mut command = fleet.home.command(&["exec", "--all", "-i", "--no-prefix", "--", "wc", "-c"]);
    command.stdin(std::fs::File::open(&input).unwrap());
    assert_eq!(finish(command, Duration::from_secs(60)).out, "300000\n300000\n300000\n");
    // Without being asked for it nobody's input is taken.
    let mut command = fleet.home.command(&["exec", "--all", "--no-prefix", "--", "wc", "-c"]);
    command.stdin(std::fs::File::open(&input).unwrap());
    assert_eq!(finish(command, Duration::from_secs(60)).out, "0\n0\n0\n");
}

#[test]
fn what_takes_too_long_or_is_not_wanted_any_more_is_ended() {
    let fleet = Fleet::new();
    // They end by themselves soon after: OpenSSH's server passes no signal on to commands of root.
    let ran = fleet.exec(&["a", "b", "--run-timeout", "1", "--", "sleep", "30"]);
    assert_eq!(ran.code, 124, "{}", ran.err);
    assert!(ran.err.contains("took longer than 1 s"), "{}", ran.err);
    // The first to make a directory fails; the others would go on.
    let dir = fleet.home.dir().join("first").display().to_string();
    let ran = fleet.exec(&[
        "--all",
        "--fail-fast",
        "--",
        "sh",
        "-c",
        "mkdir \"$0\" && exit 7; exec sleep 30",
        &dir,
    ]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert_eq!(ran.err.matches("143").count(), 2, "{}", ran.err);
}

#[test]
fn a_signal_is_for_all_and_a_second_one_gives_up() {
    let fleet = Fleet::new();
    let mark = fleet.home.dir().join("up");
    std::fs::create_dir(&mark).unwrap();
    let script = "trap '' INT; : > \"$0/$$\"; exec sleep 1000";
    let args = ["exec", "--all", "--", "sh", "-c", script, mark.to_str().unwrap()];
    let mut command = fleet.home.command(&args);
    let said = fleet.home.dir().join("said");
    let child = command.stdout(Stdio::piped()).stderr(std::fs::File::create(&said).unwrap()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while std::fs::read_dir(&mark).unwrap().count() < 3 {
        assert!(Instant::now() < deadline, "the commands did not begin");
        std::thread::sleep(Duration::from_millis(10));
    }
    processes::signal(child.id(), "INT");
    while !std::fs::read_to_string(&said).unwrap().contains("once more gives up") {
        assert!(Instant::now() < deadline, "the signal was not passed on");
        std::thread::sleep(Duration::from_millis(10));
    }
    processes::signal(child.id(), "INT");
    assert_eq!(wait(child, Duration::from_secs(20), "exec").code, 130);
    // Commands that ignore the signal go on where they run; here that is this machine.
    for command in std::fs::read_dir(&mark).unwrap() {
        processes::signal(command.unwrap().file_name().to_str().unwrap().parse().unwrap(), "KILL");
    }
}

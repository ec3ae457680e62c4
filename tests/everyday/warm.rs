//! Connections that are kept between commands: used, never wrongly, and done without when the holder is sick.

use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use ai_vm::guest::nixos::flake::Said;
use ai_vm::host::layout::{Identity, Layout, VmDir};
use ai_vm::host::{detached, socket};
use ai_vm::lifecycle::run::Run;
use ai_vm::lifecycle::{Engine, ready};
use ai_vm::registry::store::Registry;
use ai_vm::ssh::command::RemoteCommand;
use ai_vm::ssh::mux::client::Holder;
use ai_vm::ssh::mux::wire::{self, Claim, Request};
use ai_vm::ssh::target::Target;

use crate::home::Ran;
use crate::processes;
use crate::sshd::Guest;

fn exec(guest: &Guest, flags: &[&str]) -> Ran {
    guest.home.run(&[&["exec", "vm"], flags, &["--", "echo", "here"]].concat())
}

fn ok(guest: &Guest, flags: &[&str]) {
    let ran = exec(guest, flags);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "here\n", ""));
}

fn logins(guest: &Guest) -> usize {
    guest.server_says().matches("Accepted publickey").count()
}

fn holder(guest: &Guest) -> u32 {
    let layout = Layout::new(guest.home.data());
    detached::find_by_stdin(&layout.holder_lock(wire::VERSION)).unwrap().pid
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn later_commands_need_not_log_in() {
    let guest = Guest::serve("");
    // Also one that comes before the next shell waits.
    for _ in 0..20 {
        ok(&guest, &[]);
    }
    assert_eq!(logins(&guest), 1);
    ok(&guest, &["--no-mux"]);
    assert_eq!(logins(&guest), 2);
}

#[test]
fn what_is_over_at_once_loses_nothing() {
    let guest = Guest::serve("");
    ok(&guest, &[]);
    // Longer than what a command is told nothing of, too.
    for script in ["exit 9", "echo out; echo err >&2; exit 9", "echo err >&2; sleep 0.03; echo out; exit 9"] {
        let said = if script.contains("echo") { ("out\n", "err\n") } else { ("", "") };
        for _ in 0..10 {
            let ran = guest.home.run(&["exec", "vm", "--", "sh", "-c", script]);
            assert_eq!((ran.code, (ran.out.as_str(), ran.err.as_str())), (9, said), "{script}");
        }
    }
    let killed = guest.home.run(&["exec", "vm", "--", "sh", "-c", "kill -9 $$"]);
    assert_eq!((killed.code, killed.err.as_str()), (137, ""));
    // More than a pipe holds is not kept back until the command has been told that its program runs.
    let much = guest.home.run(&["exec", "vm", "--", "head", "-c", "1000000", "/dev/zero"]);
    assert_eq!((much.code, much.out.len()), (0, 1_000_000));
    assert_eq!(logins(&guest), 1);
}

#[test]
fn a_connection_that_was_brought_serves_the_next_command() {
    for (program, kept) in [("true", true), ("false", false)] {
        let guest = Guest::serve("");
        let vm = VmDir::at(guest.home.vm("vm"));
        // The first command has a connection that this one must not get: it is of another boot.
        ok(&guest, &[]);
        let next = Run::now("2".repeat(32), "tcg".to_owned(), None);
        next.write(&vm).unwrap();
        next.set_ready(&vm).unwrap();
        let public = std::fs::read_to_string(guest.file(Identity::LOGIN_PUBLIC_KEY)).unwrap();
        let command = RemoteCommand { argv: vec![program.into()], ..RemoteCommand::default() };
        let request = Request {
            target: target(&guest),
            boot: format!("{} {}", next.boot, public.trim_end()),
            limit: Duration::from_secs(10),
            command: Some(command.encode().unwrap()),
            terminal: None,
        };
        let layout = Layout::new(guest.home.data());
        let holder = Holder {
            dir: layout.root().to_owned(),
            socket: Layout::holder_socket(wire::VERSION),
            lock: layout.holder_lock(wire::VERSION),
            log: layout.holder_log(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let code = runtime.block_on(async {
            let brought = tokio::net::TcpStream::connect(("127.0.0.1", guest.port)).await.unwrap();
            let end = tokio::time::Instant::now() + Duration::from_secs(20);
            let limit = Duration::from_secs(20);
            holder.run(&request, Some(brought), limit).await.unwrap().unwrap().status(end).await.unwrap()
        });
        assert_eq!(code == 0, kept);
        let before = logins(&guest);
        ok(&guest, &[]);
        assert_eq!(logins(&guest) == before, kept, "{program}");
    }
}

#[test]
fn a_connection_is_only_for_its_boot_and_its_key() {
    let guest = Guest::serve("");
    ok(&guest, &[]);
    let vm = VmDir::at(guest.home.vm("vm"));
    let next = Run::now("1".repeat(32), "tcg".to_owned(), None);
    next.write(&vm).unwrap();
    next.set_ready(&vm).unwrap();
    ok(&guest, &[]);
    assert_eq!(logins(&guest), 2, "a connection of an earlier boot was used");
    let other = ai_vm::ssh::keys::generate("other").unwrap();
    std::fs::write(guest.file(Identity::HOST_PUBLIC_KEY), other.public).unwrap();
    let ran = exec(&guest, &[]);
    assert_eq!((ran.code, ran.out.as_str()), (125, ""), "{}", ran.err);
    assert!(ran.err.contains("another host key"), "{}", ran.err);
}

#[test]
fn a_sick_holder_is_done_without() {
    let guest = Guest::serve("");
    ok(&guest, &[]);
    processes::signal(holder(&guest), "STOP");
    let ran = guest.home.dir().join("ran");
    let count = format!("echo >> {}", ran.display());
    guest.home.ok(&["exec", "vm", "--", "sh", "-c", &count]);
    // It finds the request when it goes on, and that it may not be carried out any more.
    processes::signal(holder(&guest), "CONT");
    ok(&guest, &[]);
    assert_eq!(std::fs::read(&ran).unwrap(), b"\n");
    processes::signal(holder(&guest), "KILL");
    ok(&guest, &[]);
    ok(&guest, &[]);
    let new = holder(&guest);
    std::fs::remove_file(guest.home.data().join(Layout::holder_socket(wire::VERSION))).unwrap();
    wait_until("the holder stays although nobody can reach it", || {
        !std::path::Path::new(&format!("/proc/{new}")).exists()
            || std::fs::read_to_string(format!("/proc/{new}/stat")).is_ok_and(|stat| stat.contains(") Z "))
    });
    ok(&guest, &[]);
}

#[test]
fn a_holder_that_takes_nobody_any_more_is_not_waited_for() {
    let guest = Guest::serve("");
    ok(&guest, &[]);
    processes::signal(holder(&guest), "STOP");
    // What has been given up stays in the queue until the holder looks at it.
    let full = (0..20_000).any(|_| {
        let asked = socket::connect_at_once(&guest.home.data(), &Layout::holder_socket(wire::VERSION));
        asked.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    });
    assert!(full, "the queue has no end");
    ok(&guest, &[]);
}

#[test]
fn what_the_command_claims_the_holder_does_not_run() {
    let guest = Guest::serve("");
    ok(&guest, &[]);
    let mark = guest.home.dir().join("ran");
    let argv = ["touch", mark.to_str().unwrap()].map(Into::into).to_vec();
    let vm = VmDir::at(guest.home.vm("vm"));
    let request = Request {
        target: target(&guest),
        boot: Run::read(&vm).unwrap().boot,
        limit: Duration::from_secs(10),
        command: Some(RemoteCommand { argv, ..RemoteCommand::default() }.encode().unwrap()),
        terminal: None,
    };
    for claimed in [true, false] {
        let socket = guest.home.data().join(Layout::holder_socket(wire::VERSION));
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let (input, _kept) = std::io::pipe().unwrap();
        let (_reader, output) = std::io::pipe().unwrap();
        let claim = Claim::new().unwrap();
        assert!(!claimed || claim.make());
        wire::send(&stream, &request, [input.as_fd(), output.as_fd(), output.as_fd()], &claim, None).unwrap();
        // "Here" is said only where it takes a while.
        let said = BufReader::new(stream).lines().map(Result::unwrap).filter(|word| word != "\"Here\"");
        let said: Vec<String> = said.collect();
        assert_eq!(said, if claimed { vec![] } else { vec!["\"Running\"", "{\"Ended\":0}"] });
        assert_eq!(mark.exists(), !claimed);
        assert!(!claim.make());
        // The connection went back.
        ok(&guest, &[]);
    }
}

fn target(guest: &Guest) -> Target {
    let registry = Registry::new(Layout::new(guest.home.data()));
    let record = registry.get(&"vm".parse().unwrap()).unwrap();
    let engine = Engine {
        registry,
        qemu: None,
        mirror: None,
        agent: None,
        keys: Vec::new(),
        flake: Said::default(),
        home: None,
        seat: ai_vm::host::env::Seat::default(),
        claude: None,
        config: guest.home.dir().join("config.toml"),
    };
    ready::target(&engine, &record).unwrap()
}

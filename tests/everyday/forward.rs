//! Forwards to and from a guest, against a real server.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::fleet::Fleet;
use crate::forwarding::Forward;
use crate::sshd::Guest;

const PATIENCE: Duration = Duration::from_secs(60);

/// A stream of either kind.
trait Stream: Read + Write + Send {
    fn end(&self);
}

impl Stream for TcpStream {
    fn end(&self) {
        self.shutdown(Shutdown::Write).unwrap();
    }
}

impl Stream for UnixStream {
    fn end(&self) {
        self.shutdown(Shutdown::Write).unwrap();
    }
}

/// Answers each connection with all that came, once its end has come.
fn answer(mut stream: impl Stream) {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    stream.write_all(&all).unwrap();
    stream.end();
}

/// A service on a port of its own.
fn service() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().map(Result::unwrap) {
            std::thread::spawn(|| answer(stream));
        }
    });
    port
}

fn unix_service(path: &Path) {
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map(Result::unwrap) {
            std::thread::spawn(|| answer(stream));
        }
    });
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Bytes that show when any of them is missing or out of place.
fn bytes(count: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(next).flatten().take(count).collect()
}

/// Sends bytes, then the end, and has to get the same back, which begins only after the end has arrived.
fn exchange(mut stream: impl Stream, count: usize, seed: u64) {
    let sent = bytes(count, seed);
    stream.write_all(&sent).unwrap();
    stream.end();
    let mut got = Vec::new();
    stream.read_to_end(&mut got).unwrap();
    assert!(got == sent, "{} of {count} bytes came back, or other ones", got.len());
}

fn unused() -> u16 {
    portpicker::pick_unused_port().unwrap()
}

#[test]
fn whole_in_both_directions_by_ports_and_sockets() {
    let guest = Guest::serve("");
    let dir = guest.home.dir().display().to_string();
    let (there, here) = (format!("{dir}/there"), format!("{dir}/here"));
    unix_service(Path::new(&there));
    let (tcp, reversed, reversed_socket) = (service(), unused(), format!("{dir}/reversed"));
    let mut forward = Forward::start(
        &guest.home,
        &[
            &format!("auto:{tcp}"),
            &format!("{here}:{there}"),
            "-R",
            &format!("{reversed}:127.0.0.1:{tcp}"),
            "-R",
            &format!("{reversed_socket}:{there}"),
            "-R",
            &format!("auto:{tcp}"),
        ],
    );
    let port = forward.port(&tcp.to_string());
    forward.expect(&["forwarding ", &format!("{here} -> vm:{there}")]);
    forward.expect(&[&format!("forwarding vm:{reversed} -> 127.0.0.1:{tcp}")]);
    forward.expect(&[&format!("forwarding vm:{reversed_socket} -> {there}")]);
    let line = forward.expect(&["forwarding vm:", &format!(" -> localhost:{tcp}")]);
    let chosen = line.split(['-', ':']).nth(1).unwrap().trim().parse().unwrap();
    let mode = |path: &str| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&here), 0o600);
    std::thread::scope(|scope| {
        for (seed, port) in [port, reversed, chosen].into_iter().enumerate() {
            scope.spawn(move || exchange(connect(port), 8 << 20, seed as u64 * 2 + 1));
        }
        for (seed, path) in [&here, &reversed_socket].into_iter().enumerate() {
            scope.spawn(move || exchange(UnixStream::connect(path).unwrap(), 8 << 20, seed as u64 * 2 + 11));
        }
    });
    let ran = forward.end("INT");
    assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{}", ran.err);
    assert!(!Path::new(&here).exists() && !Path::new(&reversed_socket).exists(), "sockets stay behind");
    assert!(Path::new(&there).exists(), "the service's own socket was removed");
}

#[test]
fn the_guests_end_is_passed_on_and_ours_may_follow_later() {
    let guest = Guest::serve("");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let there = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        stream.write_all(b"all that I have").unwrap();
        stream.end();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        all
    });
    let mut forward = Forward::start(&guest.home, &[&format!("auto:{there}")]);
    let mut stream = connect(forward.port(&there.to_string()));
    let mut got = String::new();
    stream.read_to_string(&mut got).unwrap();
    assert_eq!(got, "all that I have");
    let sent = bytes(1 << 20, 5);
    stream.write_all(&sent).unwrap();
    drop(stream);
    assert!(server.join().unwrap() == sent);
    assert_eq!(forward.end("TERM").code, 0);
}

#[test]
fn many_at_once_and_one_that_stands_still() {
    let guest = Guest::serve("");
    let echo = service();
    let (flooded, _) = flood();
    let mut forward = Forward::start(&guest.home, &[&format!("auto:{echo}"), &format!("auto:{flooded}")]);
    let (port, flooded) = (forward.port(&echo.to_string()), forward.port(&flooded.to_string()));
    let round = || {
        std::thread::scope(|scope| {
            for number in 0..50 {
                scope.spawn(move || exchange(connect(port), 100_000, number * 2 + 1));
            }
        });
    };
    round();
    // Its server writes for ever, and it reads nothing: what waits for it fills every queue on the way. Then there is a
    // further connection to the guest.
    let logins = || guest.server_says().matches("Accepted publickey").count();
    assert_eq!(logins(), 1);
    let mut still = connect(flooded);
    still.read_exact(&mut [0; 1]).unwrap();
    until("there is no further connection", || logins() == 2);
    round();
    let pid = forward.pid();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: u64 = peak.split_whitespace().next().unwrap().parse().unwrap();
    assert!(kib < 100 << 10, "memory grows: {kib} KiB");
    // It goes on when it is read again.
    let mut more = vec![0; 32 << 20];
    still.read_exact(&mut more).unwrap();
    assert!(more.iter().all(|byte| *byte == 7));
    assert_eq!(forward.end("INT").code, 0);
}

#[test]
fn what_is_in_the_way_is_named_and_left_alone() {
    let guest = Guest::serve("");
    let home = &guest.home;
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let ran = home.run(&["forward", "vm", &format!("{port}:80")]);
    assert_eq!(ran.code, 4, "{}", ran.err);
    assert!(ran.err.contains(&format!("(pid {})", std::process::id())), "{}", ran.err);
    assert!(ran.err.contains("hint:") && ran.err.contains("`auto:80`"), "{}", ran.err);
    let file = home.dir().join("file").display().to_string();
    std::fs::write(&file, "precious").unwrap();
    // Nothing of what could be had stays behind.
    let first = home.dir().join("first").display().to_string();
    let ran = home.run(&["forward", "vm", &format!("{first}:80"), &format!("{file}:80")]);
    assert_eq!(ran.code, 4, "{}", ran.err);
    assert!(ran.err.contains("is no socket") && !ran.err.contains("forwarding"), "{}", ran.err);
    assert_eq!(std::fs::read(&file).unwrap(), b"precious");
    assert!(!Path::new(&first).exists());
    let ran = home.run(&["forward", "vm", "-R", &format!("{port}:80")]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("does not listen on"), "{}", ran.err);
    // What a killed one has left is replaced, what is in use is not.
    let spec = format!("{first}:80");
    let mut killed = Forward::start(home, &[&spec]);
    killed.expect(&["forwarding"]);
    let ran = home.run(&["forward", "vm", &spec]);
    assert!(ran.code == 4 && ran.err.contains("is in use"), "{}", ran.err);
    killed.end("KILL");
    assert!(Path::new(&first).exists());
    let mut forward = Forward::start(home, &[&spec]);
    forward.expect(&["forwarding"]);
    assert_eq!(forward.end("HUP").code, 0);
    assert!(!Path::new(&first).exists());
    for args in [&["vm"][..], &["vm", "x:1"], &["vm", "/tmp/x"], &["vm", "1:2", "--only", "3"]] {
        let ran = home.run(&[&["forward"], args].concat());
        assert_eq!(ran.code, 2, "{args:?}: {}", ran.err);
    }
    assert_eq!(home.run(&["forward", "nobody", "80"]).code, 3);
}

#[test]
fn a_refused_connection_is_closed_and_told_once() {
    let guest = Guest::serve("");
    // On this machine, which is also the guest, a port that is free would be the forward's own.
    let (there, back) = (1, unused());
    let nobody = guest.home.dir().join("nobody").display().to_string();
    let args = [&format!("auto:{there}"), "-R", &format!("{back}:{nobody}"), "--json"];
    let mut forward = Forward::start(&guest.home, &args);
    let port = forward.port(&there.to_string());
    forward.expect(&[&format!("forwarding vm:{back}")]);
    for port in [port, port, back, back] {
        // The end, or a reset, but nothing else.
        assert_eq!(connect(port).read(&mut [0; 1]).unwrap_or(0), 0);
    }
    let ran = forward.end("INT");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(ran.err.matches("nothing accepts connections there").count(), 1, "{}", ran.err);
    assert_eq!(ran.err.matches("No such file").count(), 1, "{}", ran.err);
    let rows: Vec<serde_json::Value> =
        ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let events: Vec<_> = rows.iter().map(|row| row["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["open", "open", "refused", "refused"]);
    assert_eq!(rows[0]["listen"], format!("127.0.0.1:{port}"));
    assert_eq!(
        (&rows[1]["vm"], &rows[1]["reverse"], &rows[1]["target"]),
        (&"vm".into(), &true.into(), &nobody.into())
    );
}

#[test]
fn what_the_guest_listens_on_comes_and_goes() {
    let guest = Guest::serve("");
    // The guest is this machine, so other ports of it are other tests', and each forward is one more of its listeners.
    let there = unused();
    let mut forward = Forward::start(&guest.home, &["--auto", "--only", &there.to_string()]);
    forward.expect(&["watching"]);
    for _ in 0..2 {
        let before = forward.said().matches("no longer").count();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, there)).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while forward.said().matches("forwarding 127").count() <= before * 2 {
            assert!(Instant::now() < deadline, "{}", forward.said());
            std::thread::sleep(Duration::from_millis(10));
        }
        let said = forward.said();
        let line = said.lines().rfind(|line| line.starts_with("forwarding ")).unwrap();
        assert!(line.ends_with(&format!(" -> vm:{there}")), "{line}");
        let port: u16 = line.split(" -> ").next().unwrap().rsplit(':').next().unwrap().parse().unwrap();
        assert_ne!(port, there);
        let server = std::thread::spawn(move || answer(listener.accept().unwrap().0));
        exchange(connect(port), 1000, 3);
        server.join().unwrap();
        while forward.said().matches("no longer").count() <= before {
            assert!(Instant::now() < deadline, "{}", forward.said());
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err(), "it still listens");
    }
    assert_eq!(forward.end("INT").code, 0);
}

#[test]
fn a_guest_that_is_gone_ends_it() {
    for args in [&["auto:1"][..], &["-R", "auto:1"], &["--auto", "--only", "1"]] {
        let mut guest = Guest::serve("");
        let socket = guest.home.dir().join("socket").display().to_string();
        let mut forward = Forward::start(&guest.home, &[args, &[&format!("{socket}:80")]].concat());
        forward.expect(&["forwarding", &socket]);
        guest.pull_the_plug();
        let ran = forward.wait();
        assert_eq!(ran.code, 255, "{args:?}: {}", ran.err);
        assert!(ran.err.contains("lost") && ran.err.contains("ai-vm info vm"), "{}", ran.err);
        assert!(!Path::new(&socket).exists());
    }
}

#[test]
fn a_server_that_forbids_it_is_told() {
    let guest = Guest::serve("AllowTcpForwarding no");
    let mut forward = Forward::start(&guest.home, &["auto:80"]);
    let port = forward.port("80");
    assert_eq!(connect(port).read(&mut [0; 1]).unwrap_or(0), 0);
    forward.expect(&["does not allow it"]);
    let ran = guest.home.run(&["forward", "vm", "-R", "auto:80"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("AllowTcpForwarding"), "{}", ran.err);
}

#[test]
fn told_to_end_while_the_guest_is_still_booting() {
    let guest = Guest::silent();
    let socket = guest.home.dir().join("socket").display().to_string();
    let forward = Forward::start(&guest.home, &[&format!("{socket}:80")]);
    let deadline = Instant::now() + PATIENCE;
    while !Path::new(&socket).exists() {
        assert!(Instant::now() < deadline, "{}", forward.said());
        std::thread::sleep(Duration::from_millis(10));
    }
    let ran = forward.end("INT");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(!Path::new(&socket).exists());
}

#[test]
fn an_adopted_machine_and_several_forwards_beside_each_other() {
    let fleet = Fleet::new();
    let echo = service();
    let spec = format!("auto:{echo}");
    let mut forwards = ["a", "b"].map(|name| Forward::start_for(&fleet.home, name, &[&spec]));
    let ports = ["a", "b"].map(|name| {
        let forward = &mut forwards[usize::from(name == "b")];
        let line = forward.expect(&["forwarding", &format!(" -> {name}:{echo}")]);
        line.split(" -> ").next().unwrap().rsplit(':').next().unwrap().parse().unwrap()
    });
    assert_ne!(ports[0], ports[1]);
    for port in ports {
        exchange(connect(port), 100_000, 9);
    }
    for forward in forwards {
        assert_eq!(forward.end("INT").code, 0);
    }
}

/// A service that writes to each connection for as long as it is read, and how many it has.
fn flood() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    let open = Arc::clone(&count);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map(Result::unwrap) {
            open.fetch_add(1, Ordering::SeqCst);
            let open = Arc::clone(&open);
            std::thread::spawn(move || {
                while stream.write_all(&[7; 65536]).is_ok() {}
                open.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    (port, count)
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn what_is_broken_off_leaves_nothing_behind() {
    let guest = Guest::serve("");
    let ((flooded, open), echo) = (flood(), service());
    let mut forward = Forward::start(&guest.home, &[&format!("auto:{flooded}"), &format!("auto:{echo}")]);
    let (port, echo) = (forward.port(&flooded.to_string()), forward.port(&echo.to_string()));
    let pid = forward.pid();
    let descriptors = || std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    exchange(connect(echo), 1000, 1);
    // The one that has ended may still be there for a moment.
    let before = descriptors();
    for _ in 0..40 {
        connect(port).read_exact(&mut [0; 1]).unwrap();
        // Gone before it has said or heard anything.
        drop(connect(port));
        drop(connect(echo));
    }
    until("connections stay open in the guest", || open.load(Ordering::SeqCst) == 0);
    until("descriptors stay open", || descriptors() <= before);
    exchange(connect(echo), 1000, 3);
    assert_eq!(forward.end("INT").code, 0);
}

#[test]
fn a_guest_that_is_gone_ends_it_although_a_connection_stands_still() {
    let mut guest = Guest::serve("");
    let (flooded, _) = flood();
    let mut forward = Forward::start(&guest.home, &[&format!("auto:{flooded}")]);
    let still = connect(forward.port(&flooded.to_string()));
    until("there is no further connection", || {
        guest.server_says().matches("Accepted publickey").count() == 2
    });
    guest.pull_the_plug();
    let ran = forward.wait();
    assert_eq!(ran.code, 255, "{}", ran.err);
    drop(still);
}

#[test]
fn more_connections_than_are_carried_at_a_time_wait() {
    let guest = Guest::serve("");
    let echo = service();
    let mut forward = Forward::start(&guest.home, &[&format!("auto:{echo}")]);
    let port = forward.port(&echo.to_string());
    let waiting: Vec<TcpStream> = (0..300).map(|_| connect(port)).collect();
    // Those that came first make room when they end.
    std::thread::scope(|scope| {
        for (number, stream) in waiting.into_iter().enumerate() {
            scope.spawn(move || exchange(stream, 100, number as u64 * 2 + 1));
        }
    });
    assert_eq!(forward.end("INT").code, 0);
}

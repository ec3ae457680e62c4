//! Forwards to and from a real guest, whose server, firewall and table of sockets are its own.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::debian::{VM, exec, sh};
use crate::forwarding::Forward;
use crate::home::Home;

const PATIENCE: Duration = Duration::from_secs(60);

/// A service in the guest: what is sent comes back in capitals. On a port, or on a socket where it is given a path.
const SERVICE: &str = "import os, socketserver, sys
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(self.rfile.read().upper())
place = sys.argv[1]
if place.isdigit():
    server = socketserver.ThreadingTCPServer(('127.0.0.1', int(place)), Handler)
else:
    server = socketserver.ThreadingUnixStreamServer(place, Handler)
if os.fork() == 0:
    os.setsid()
    null = os.open('/dev/null', os.O_RDWR)
    for stream in range(3):
        os.dup2(null, stream)
    server.serve_forever()
";

fn serve(home: &Home, place: &str) {
    let ran = exec(home, &["python3", "-c", SERVICE, place]);
    assert_eq!(ran.code, 0, "{}", ran.err);
}

pub fn forwards_both_ways(home: &Home) {
    serve(home, "8000");
    serve(home, "/home/dev/service");
    let ours = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (socket, back) = (home.dir().join("socket"), ours.local_addr().unwrap().port());
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = ours.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut asked = [0; 5];
        stream.read_exact(&mut asked).unwrap();
        stream.write_all(b"from here").unwrap();
        asked
    });
    let place = format!("{}:/home/dev/service", socket.display());
    let args = ["auto:8000", &place, "-R", &format!("18000:{back}"), "--auto"];
    let mut forward = Forward::start_for(home, VM, &args);
    let port = forward.port("8000");
    forward.expect(&["watching"]);

    // Enough to fill what is on the way.
    let text = "to the guest and back ".repeat(20_000);
    let tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(
        in_capitals(&tcp, &text, || tcp.shutdown(std::net::Shutdown::Write).unwrap()),
        text.to_uppercase()
    );
    let unix = UnixStream::connect(&socket).unwrap();
    unix.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(in_capitals(&unix, "unix", || unix.shutdown(std::net::Shutdown::Write).unwrap()), "UNIX");
    let ask = "exec 3<>/dev/tcp/127.0.0.1/18000; printf there >&3; cat <&3";
    assert_eq!(exec(home, &["bash", "-c", ask]).out, "from here");
    assert_eq!(&answering.join().unwrap(), b"there");

    serve(home, "8123");
    let found = forward.port("8123");
    let tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, found)).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(in_capitals(&tcp, "auto", || tcp.shutdown(std::net::Shutdown::Write).unwrap()), "AUTO");
    sh(home, "pkill -f ' 8123$'");
    forward.expect(&["no longer forwarding", &format!(" -> {VM}:8123")]);
    assert_eq!(forward.end("INT").code, 0);
    assert!(
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() && !socket.exists(),
        "something was left"
    );
    sh(home, "pkill -f ' (8000|/home/dev/service)$'");
}

/// Sends a text and its end, and returns the answer.
fn in_capitals<S>(stream: &S, text: &str, end: impl FnOnce()) -> String
where
    for<'a> &'a S: Read + Write,
    S: Sync,
{
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let mut answer = String::new();
            { stream }.read_to_string(&mut answer).unwrap();
            answer
        });
        { stream }.write_all(text.as_bytes()).unwrap();
        end();
        reading.join().unwrap()
    })
}

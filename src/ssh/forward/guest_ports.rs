//! What a guest listens on, as its kernel says again and again. A program in the guest prints that; what it prints is
//! believed no more than anything else from there, and is bounded.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::ssh::command::RemoteCommand;
use crate::ssh::connect::Session;
use crate::ssh::forward::LOGIN;
use crate::ssh::forward::error::ForwardError;
use crate::ssh::program::{Program, Sink, Streams};
use crate::ssh::status::Nowhere;
use crate::vm::endpoint::HostName;
use crate::vm::port::Port;
use crate::vm::socket_table;

/// Prints every second the lines of sockets that listen, and a full stop. It ends when nobody reads any more.
const PROGRAM: &str =
    "while :; do grep -hs ' 0A ' /proc/net/tcp /proc/net/tcp6; echo . || exit; sleep 1 || exit; done";

/// The longest line that is read, in bytes; the kernel's have some 160.
const MAX_LINE: usize = 512;

/// The most ports that are taken note of.
const MAX_PORTS: usize = 1024;

/// Ports on which the guest accepts connections from itself, and by which address where `localhost` is not enough.
pub(super) type Ports = BTreeMap<Port, Option<HostName>>;

/// Begins to watch. Nothing is there until the guest has told for the first time; the sender is dropped when it tells no
/// longer.
pub(super) async fn watch(session: &Arc<Session>) -> Result<watch::Receiver<Option<Ports>>, ForwardError> {
    let argv = ["sh", "-c", PROGRAM].map(Into::into).to_vec();
    let command = RemoteCommand { argv, ..RemoteCommand::default() }.encode();
    let command = Program::Command(command.map_err(crate::ssh::session::SessionError::from)?);
    let started = session.start(&command, None, Instant::now() + LOGIN).await?;
    let (to, ports) = watch::channel(None);
    let streams = Streams {
        stdin: mpsc::channel(1).1,
        stdout: Tables { scanner: Scanner::default(), to },
        stderr: Nowhere,
    };
    tokio::spawn(async move { started.pump(streams, mpsc::channel(1).1).await });
    Ok(ports)
}

/// Reads the program's stdout.
struct Tables {
    scanner: Scanner,
    to: watch::Sender<Option<Ports>>,
}

impl Sink for Tables {
    async fn write(&mut self, chunk: Bytes) -> bool {
        // Only the newest matters.
        if let Some(ports) = self.scanner.read(&chunk) {
            self.to.send_replace(Some(ports));
        }
        !self.to.is_closed()
    }

    async fn finish(self) -> io::Result<()> {
        Ok(())
    }
}

/// Puts lines together and takes tables out of them.
#[derive(Debug, Default)]
struct Scanner {
    line: Vec<u8>,
    ports: Ports,
}

impl Scanner {
    /// Reads on, and returns the newest table that has become complete.
    fn read(&mut self, bytes: &[u8]) -> Option<Ports> {
        let mut complete = None;
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = MAX_LINE.saturating_sub(self.line.len());
            self.line.extend(part.iter().take(room));
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                // One that was cut has no end any more, and is none of the kernel's.
                let Some(line) = line.strip_suffix(b"\n") else { continue };
                match line {
                    b"." => complete = Some(std::mem::take(&mut self.ports)),
                    line => self.take_note(&String::from_utf8_lossy(line)),
                }
            }
        }
        complete
    }

    fn take_note(&mut self, line: &str) {
        let Some(socket) = socket_table::listening(line) else { return };
        let Some(port) = Port::new(socket.port) else { return };
        let Some(host) = seen_from_inside(socket.address.to_canonical()) else { return };
        if let Some(known) = self.ports.get_mut(&port) {
            *known = known.take().and(host);
        } else if self.ports.len() < MAX_PORTS {
            self.ports.insert(port, host);
        }
    }
}

/// Returns by which name the guest reaches a listener of its own on this address; not at all if it is only for others.
fn seen_from_inside(address: IpAddr) -> Option<Option<HostName>> {
    let localhost = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    if address.is_unspecified() || localhost.contains(&address) {
        return Some(None);
    }
    address.is_loopback().then(|| Some(address.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(address: &str, port: u16, state: &str) -> String {
        format!(
            "   0: {address}:{port:04X} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000 0 0 1 1\n"
        )
    }

    fn ports(scanner: &mut Scanner, text: &str) -> Vec<(u16, Option<String>)> {
        let ports = scanner.read(text.as_bytes()).unwrap();
        ports
            .into_iter()
            .map(|(port, host)| (port.get(), host.map(|host| host.as_str().to_owned())))
            .collect()
    }

    #[test]
    fn loopback_and_wildcard_listeners_of_both_families() {
        let six = "0000000000000000";
        let text = [
            line("0100007F", 3000, "0A"),
            line("00000000", 3001, "0A"),
            line("0100007F", 3002, "01"),
            line("0202000A", 3003, "0A"),
            line("3500007F", 53, "0A"),
            line(&format!("{six}0000000001000000"), 3004, "0A"),
            line(&format!("{six}0000000000000000"), 3005, "0A"),
            line(&format!("{six}FFFF00000100007F"), 3006, "0A"),
            line("0100007F", 0, "0A"),
            // By localhost too, so that is enough.
            line("3500007F", 3000, "0A"),
            ".\n".to_owned(),
        ];
        let mut scanner = Scanner::default();
        assert_eq!(scanner.read(text[..5].concat().as_bytes()), None);
        let found = ports(&mut scanner, &text[5..].concat());
        let numbers: Vec<u16> = found.iter().map(|(port, _)| *port).collect();
        assert_eq!(numbers, [53, 3000, 3001, 3004, 3005, 3006]);
        assert_eq!(found[0].1.as_deref(), Some("127.0.0.53"));
        assert!(found[1..].iter().all(|(_, host)| host.is_none()));
        // The next table begins anew.
        assert_eq!(ports(&mut scanner, ".\n"), []);
    }

    #[test]
    fn a_guest_that_says_too_much_is_not_kept() {
        let mut scanner = Scanner::default();
        for _ in 0..1000 {
            assert_eq!(scanner.read(&[b'x'; 5000]), None);
        }
        assert!(scanner.line.len() <= MAX_LINE);
        assert_eq!(scanner.read(b"\n"), None);
        for port in 1..=5000 {
            assert_eq!(scanner.read(line("0100007F", port, "0A").as_bytes()), None);
        }
        assert_eq!(ports(&mut scanner, ".\n").len(), MAX_PORTS);
    }

    proptest! {
        #[test]
        fn how_it_is_cut_does_not_matter(cuts in proptest::collection::vec(1usize..40, 1..40), junk in "\\PC{0,40}") {
            let text = [line("0100007F", 3000, "0A"), format!("{junk}\n"), line("00000000", 80, "0A"), ".\n".to_owned()].concat();
            let (mut scanner, mut rest, mut found) = (Scanner::default(), text.as_bytes(), None);
            for cut in cuts {
                let (part, after) = rest.split_at(cut.min(rest.len()));
                found = scanner.read(part).or(found);
                rest = after;
            }
            found = scanner.read(rest).or(found);
            prop_assert_eq!(found, Scanner::default().read(text.as_bytes()));
        }

        #[test]
        fn any_bytes_are_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let mut scanner = Scanner::default();
            let _ = scanner.read(&bytes);
            prop_assert!(scanner.line.len() <= MAX_LINE && scanner.ports.len() <= MAX_PORTS);
        }
    }
}

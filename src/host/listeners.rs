//! Who listens on this machine's TCP ports.

use std::fs;
use std::net::{IpAddr, TcpListener};
use std::path::Path;

use crate::vm::port::Port;
use crate::vm::socket_table::{Socket, listening};

/// Tells whether a listener could be opened right now. Only QEMU's own bind decides; this is for choosing well.
pub fn is_free(bind: IpAddr, port: Port) -> bool {
    TcpListener::bind((bind, port.get())).is_ok()
}

/// Tells whether this process may listen on the port at all.
pub fn may_bind(port: Port) -> bool {
    if !port.is_privileged() || rustix::process::geteuid().is_root() {
        return true;
    }
    let first_free = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    let first_free = first_free.ok().and_then(|text| text.trim().parse::<u16>().ok()).unwrap_or(1024);
    port.get() >= first_free
}

/// Names the process that listens on a port, for people; `None` when nobody does or it cannot be seen.
pub fn holder(port: Port) -> Option<String> {
    let listeners = Listeners::now();
    let found = listeners.sockets.iter().find(|socket| socket.port == port.get())?;
    Some(owner(&found.inode))
}

/// The TCP sockets of this machine that listen, at one moment.
#[derive(Debug)]
pub struct Listeners {
    sockets: Vec<Socket>,
}

impl Listeners {
    /// Looks now.
    pub fn now() -> Self {
        let tables =
            ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
        Self {
            sockets: tables.iter().flat_map(|table| table.lines().skip(1).filter_map(listening)).collect(),
        }
    }

    /// Tells whether a process listens on exactly this address and port.
    pub fn has(&self, pid: u32, bind: IpAddr, port: Port) -> bool {
        let mut candidates = self
            .sockets
            .iter()
            .filter(|socket| (socket.address, socket.port) == (bind, port.get()))
            .peekable();
        // Most ports have no listener at all, and then no process need be looked at.
        candidates.peek().is_some() && {
            let held: Vec<_> = sockets_of(Path::new(&format!("/proc/{pid}"))).collect();
            candidates.any(|socket| held.contains(&socket.inode))
        }
    }

    /// Names who is in the way of a listener on this address and port, for people.
    pub fn holder(&self, bind: IpAddr, port: Port) -> Option<String> {
        let in_the_way = |socket: &&Socket| {
            let everywhere = socket.address.is_unspecified() || bind.is_unspecified();
            socket.port == port.get() && (socket.address == bind || everywhere)
        };
        self.sockets.iter().find(in_the_way).map(|socket| owner(&socket.inode))
    }
}

/// Names the process that has a socket open, for people.
fn owner(inode: &str) -> String {
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if sockets_of(&process.path()).any(|held| held == inode) {
            let command = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return format!("`{}` (pid {pid})", command.trim().escape_debug());
        }
    }
    "a process of another user".to_owned()
}

/// Returns the inodes of the sockets that a process has open, by its directory in `/proc`.
fn sockets_of(process: &Path) -> impl Iterator<Item = String> + use<> {
    fs::read_dir(process.join("fd")).into_iter().flatten().flatten().filter_map(|fd| {
        let link = fs::read_link(fd.path()).ok()?;
        Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::port::loopback;

    #[test]
    fn finds_ourselves() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = Port::new(listener.local_addr().unwrap().port()).unwrap();
        assert!(!is_free(loopback(), port));
        let holder = holder(port).unwrap();
        assert!(holder.contains(&format!("pid {}", std::process::id())), "{holder}");
        let us = std::process::id();
        let listeners = Listeners::now();
        assert!(listeners.has(us, loopback(), port));
        assert!(!listeners.has(us, "127.0.0.2".parse().unwrap(), port));
        assert_eq!(listeners.holder(loopback(), port), Some(holder.clone()));
        assert_eq!(listeners.holder("0.0.0.0".parse().unwrap(), port), Some(holder));
        assert_eq!(listeners.holder("127.0.0.2".parse().unwrap(), port), None);
        drop(listener);
        assert!(is_free(loopback(), port));
        assert_eq!(super::holder(port), None);
        assert!(!Listeners::now().has(us, loopback(), port));
    }
}

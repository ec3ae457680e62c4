//! Who listens on this machine's TCP ports.

use std::fs;
use std::net::{IpAddr, TcpListener};

use crate::vm::port::Port;

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
    let inode = listening_inode(port)?;
    let socket = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    for process in processes {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else { continue };
        let holds =
            |fd: fs::DirEntry| fs::read_link(fd.path()).is_ok_and(|link| link.as_os_str() == &*socket);
        if descriptors.flatten().any(holds) {
            let command = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("`{}` (pid {pid})", command.trim().escape_debug()));
        }
    }
    Some("a process of another user".to_owned())
}

/// Returns the inode of a listening socket. A line of `/proc/net/tcp` has the local address as `0100007F:08AE`
/// in its second field, the state in its fourth (0A is LISTEN) and the inode in its tenth.
fn listening_inode(port: Port) -> Option<String> {
    let wanted = format!("{:04X}", port.get());
    ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| {
        fs::read_to_string(table).ok()?.lines().skip(1).find_map(|line| {
            let mut fields = line.split_whitespace();
            let local_port = fields.nth(1)?.rsplit(':').next()?;
            let state = fields.nth(1)?;
            (local_port == wanted && state == "0A").then(|| fields.nth(5).map(str::to_owned))?
        })
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
        drop(listener);
        assert!(is_free(loopback(), port));
        assert_eq!(super::holder(port), None);
    }
}

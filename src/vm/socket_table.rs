//! The kernel's table of TCP sockets, `/proc/net/tcp` and `/proc/net/tcp6`, of this machine or of a guest. Pure: a guest
//! may write whatever it wants there.

use std::net::IpAddr;

/// A TCP socket that listens.
#[derive(Debug, PartialEq, Eq)]
pub struct Socket {
    /// The address that it listens on.
    pub address: IpAddr,
    /// The port. 0 is no port, but may be in a table.
    pub port: u16,
    /// The number by which a process's descriptors name it.
    pub inode: String,
}

/// Reads a line of a table, if its socket listens: the local address as `0100007F:08AE` in its second field, the state
/// in its fourth (0A is LISTEN) and the inode in its tenth (proc_net_tcp.rst of the kernel's documentation).
pub fn listening(line: &str) -> Option<Socket> {
    let mut fields = line.split_whitespace();
    let (address, port) = fields.nth(1)?.split_once(':')?;
    if fields.nth(1)? != "0A" {
        return None;
    }
    let inode = fields.nth(5)?.to_owned();
    Some(Socket { address: parse_address(address)?, port: u16::from_str_radix(port, 16).ok()?, inode })
}

/// Reads an address that the kernel wrote as words of 32 bits, each in the machine's own byte order.
fn parse_address(text: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(text.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    match text.len() {
        8 => Some(IpAddr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            Some(IpAddr::from(<[u8; 16]>::try_from(words.concat()).ok()?))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_kernels_table_is_understood() {
        let line = "   0: 0100007F:08AE 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1";
        let socket = listening(line).unwrap();
        let address = "127.0.0.1".parse().unwrap();
        assert_eq!(socket, Socket { address, port: 2222, inode: "4711".to_owned() });
        assert_eq!(listening(&line.replace(" 0A ", " 01 ")), None);
        let six = "00000000000000000000000001000000";
        assert_eq!(parse_address(six), Some("::1".parse().unwrap()));
        for bad in ["", "0100007", "0100007F01", "\u{e4}\u{e4}\u{e4}\u{e4}"] {
            assert_eq!(parse_address(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_an_answer(line in "\\PC{0,60}|( ?[0-9A-F:]{0,34}){0,12}") {
            let _ = listening(&line);
        }
    }
}

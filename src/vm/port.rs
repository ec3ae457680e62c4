//! Forwarded ports: how they are asked for and what they became.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU16;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::diagnostic::{Diagnostic, Kind};

/// A TCP port from 1 to 65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Port(NonZeroU16);

impl Port {
    /// The guest port of its SSH server.
    pub const SSH: Self = Self(NonZeroU16::MIN.saturating_add(21));

    /// Makes a port, unless the number is 0.
    pub const fn new(number: u16) -> Option<Self> {
        match NonZeroU16::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// Returns the number.
    pub const fn get(self) -> u16 {
        self.0.get()
    }

    /// Tells whether binding the port on the host usually needs a privilege.
    pub const fn is_privileged(self) -> bool {
        self.get() < 1024
    }

    /// Returns the next higher port, if there is one.
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl FromStr for Port {
    type Err = PortError;

    fn from_str(text: &str) -> Result<Self, PortError> {
        let bad = || PortError::NotAPort { given: text.escape_debug().to_string() };
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad());
        }
        text.parse().ok().and_then(Self::new).ok_or_else(bad)
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which host port a forward should get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostPort {
    /// Exactly this one. It is never moved.
    Fixed(Port),
    /// Preferably the guest's own number, else the next free one. It may be moved at a later start.
    Auto,
}

/// A forward as the user asks for it: `8080:80` or `auto:80`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForwardRequest {
    /// The port on the host.
    pub host: HostPort,
    /// The port in the guest.
    pub guest: Port,
}

impl ForwardRequest {
    /// Tells whether a forward is what was asked for, on this host address.
    pub fn is_met_by(&self, forward: &Forward, bind: IpAddr) -> bool {
        let host = match self.host {
            HostPort::Fixed(port) => port == forward.host,
            HostPort::Auto => true,
        };
        host && (forward.guest, forward.bind) == (self.guest, bind)
    }
}

impl fmt::Display for ForwardRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host {
            HostPort::Fixed(port) => write!(f, "{port}:{}", self.guest),
            HostPort::Auto => write!(f, "auto:{}", self.guest),
        }
    }
}

impl FromStr for ForwardRequest {
    type Err = PortError;

    fn from_str(text: &str) -> Result<Self, PortError> {
        let not_a_forward = || PortError::NotAForward { given: text.escape_debug().to_string() };
        let (host, guest) = text.split_once(':').ok_or_else(not_a_forward)?;
        let host = if host == "auto" { HostPort::Auto } else { HostPort::Fixed(host.parse()?) };
        Ok(Self { host, guest: guest.parse()? })
    }
}

/// A forward that a VM has: connections to `bind:host` on this machine reach `guest` in the VM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// The port on the host.
    pub host: Port,
    /// The port in the guest.
    pub guest: Port,
    /// The host address that listens.
    #[serde(default = "loopback", skip_serializing_if = "is_loopback")]
    pub bind: IpAddr,
    /// Whether ai-vm chose the host port and may move it when something else takes it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub auto: bool,
}

/// Returns the address that every forward listens on unless the user asks otherwise.
pub const fn loopback() -> IpAddr {
    IpAddr::V4(Ipv4Addr::LOCALHOST)
}

fn is_loopback(address: &IpAddr) -> bool {
    *address == loopback()
}

/// Why ports cannot be had as asked for.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// Not a number from 1 to 65535.
    #[error("`{given}` is not a port: ports are numbers from 1 to 65535")]
    NotAPort {
        /// What was given, escaped.
        given: String,
    },
    /// Not `HOST:GUEST`.
    #[error("`{given}` is not a port forward")]
    NotAForward {
        /// What was given, escaped.
        given: String,
    },
}

impl Diagnostic for PortError {
    fn kind(&self) -> Kind {
        Kind::Usage
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NotAPort { .. } => Vec::new(),
            Self::NotAForward { .. } => {
                vec!["write HOST:GUEST, for example `-p 8080:80`, or `-p auto:80`".to_owned()]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn requests() {
        let fixed: ForwardRequest = "8080:80".parse().unwrap();
        assert_eq!(fixed.host, HostPort::Fixed(Port::new(8080).unwrap()));
        assert_eq!(fixed.guest.get(), 80);
        assert_eq!("auto:80".parse::<ForwardRequest>().unwrap().host, HostPort::Auto);
        for text in ["8080:80", "auto:80"] {
            assert_eq!(text.parse::<ForwardRequest>().unwrap().to_string(), text);
        }
        for bad in ["", "80", "0:80", "80:0", "65536:1", "-1:2", "+1:2", "a:b", "1:2:3", "80: 80", "auto"] {
            assert!(bad.parse::<ForwardRequest>().is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn ssh_is_twenty_two() {
        assert_eq!(Port::SSH.get(), 22);
        assert!(Port::SSH.is_privileged());
    }

    proptest! {
        #[test]
        fn every_number_is_judged_by_its_value(number in 0u32..100_000) {
            prop_assert_eq!(number.to_string().parse::<Port>().is_ok(), (1..=65535).contains(&number));
        }
    }
}

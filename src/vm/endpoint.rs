//! Where an SSH server listens, for machines that are not on a port of this one.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::diagnostic::{Diagnostic, Kind};
use crate::vm::port::Port;
use crate::vm::spec::{SpecError, UserName};

/// A host: a DNS name, an IPv4 address, or an IPv6 address without brackets. What a name means is looked up at each
/// connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostName(String);

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Endpoint {
    /// The host.
    pub host: HostName,
    /// The TCP port.
    pub port: Port,
}

/// What people type to name a login on another machine: `[USER@]HOST[:PORT]`, IPv6 addresses in brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The login name, if it was given.
    pub user: Option<UserName>,
    /// Where the server listens; port 22 unless another one was given.
    pub endpoint: Endpoint,
}

/// A text that is not an address.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The host cannot be one.
    #[error("`{given}` is not a host")]
    Host {
        /// What was given, escaped.
        given: String,
    },
    /// The port is none.
    #[error(transparent)]
    Port(#[from] crate::vm::port::PortError),
    /// The login name is none.
    #[error(transparent)]
    User(#[from] SpecError),
}

impl Diagnostic for AddressError {
    fn kind(&self) -> Kind {
        Kind::Usage
    }

    fn hints(&self) -> Vec<String> {
        let form =
            "write [USER@]HOST[:PORT], for example `dev@box.example.org:22` or `root@[2001:db8::7]:22`";
        vec![form.to_owned()]
    }
}

impl HostName {
    /// Returns the name or address, an IPv6 address without brackets.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostName {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let is_label = |label: &str| {
            let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            !label.is_empty() && label.len() <= 63 && !label.starts_with('-') && label.chars().all(good)
        };
        let is_name = text.len() <= 253 && text.trim_end_matches('.').split('.').all(is_label);
        if is_name || text.parse::<IpAddr>().is_ok() {
            Ok(Self(text.to_owned()))
        } else {
            Err(AddressError::Host { given: text.escape_debug().to_string() })
        }
    }
}

impl TryFrom<String> for HostName {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<HostName> for String {
    fn from(host: HostName) -> Self {
        host.0
    }
}

impl From<IpAddr> for HostName {
    fn from(address: IpAddr) -> Self {
        Self(address.to_string())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host: HostName(host), port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (user, place) = match text.rsplit_once('@') {
            Some((user, place)) => (Some(user.parse()?), place),
            None => (None, text),
        };
        let bad = || AddressError::Host { given: place.escape_debug().to_string() };
        let (host, port) = match place.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or_else(bad)?;
                host.parse::<Ipv6Addr>().map_err(|_| bad())?;
                match rest.strip_prefix(':') {
                    Some(port) => (host, Some(port)),
                    None if rest.is_empty() => (host, None),
                    None => return Err(bad()),
                }
            }
            // An IPv6 address by itself has no room for a port.
            None if place.parse::<Ipv6Addr>().is_ok() => (place, None),
            None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map(str::parse).transpose()?.unwrap_or(Port::SSH);
        Ok(Self { user, endpoint: Endpoint { host: host.parse()?, port } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parts(text: &str) -> (Option<String>, String) {
        let Address { user, endpoint } = text.parse().unwrap();
        (user.map(|user| user.to_string()), endpoint.to_string())
    }

    #[test]
    fn what_people_type() {
        for (text, user, endpoint) in [
            ("box", None, "box:22"),
            ("dev@box.example.org:2200", Some("dev"), "box.example.org:2200"),
            ("root@10.0.0.7", Some("root"), "10.0.0.7:22"),
            ("[::1]:2222", None, "[::1]:2222"),
            ("a@[2001:db8::7]", Some("a"), "[2001:db8::7]:22"),
            ("::1", None, "[::1]:22"),
        ] {
            assert_eq!(parts(text), (user.map(str::to_owned), endpoint.to_owned()), "{text}");
        }
        for bad in [
            "",
            "@box",
            "a b",
            "box:",
            "box:0",
            "box:99999",
            "-oProxyCommand=x",
            "u@-x",
            "[::1",
            "[::1]x",
            "[box]",
            "a..b",
            "x/y",
            "box\n",
            "Üx",
        ] {
            assert!(bad.parse::<Address>().is_err(), "{bad:?} was accepted");
        }
    }

    proptest! {
        #[test]
        fn an_endpoint_is_read_as_it_is_shown(port in 1u16.., v6 in any::<u128>()) {
            let host = HostName::from(IpAddr::V6(Ipv6Addr::from(v6)));
            let endpoint = Endpoint { host, port: Port::new(port).unwrap() };
            prop_assert_eq!(endpoint.to_string().parse::<Address>().unwrap().endpoint, endpoint);
        }
    }
}

//! Forwards that last as long as a command does, as people type them: `LISTEN:TARGET`. Pure.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::diagnostic::{Diagnostic, Kind};
use crate::vm::endpoint::HostName;
use crate::vm::port::{Port, PortError};

/// Where connections are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A free TCP port.
    Auto,
    /// This TCP port.
    Port(Port),
    /// A Unix socket.
    Socket(PathBuf),
}

/// Where connections are led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Goal {
    /// A TCP port of a host, as the side that connects finds it.
    Tcp {
        /// The host; without one it is the side that connects itself.
        host: Option<HostName>,
        /// The port.
        port: Port,
    },
    /// A Unix socket.
    Socket(PathBuf),
}

/// This machine listens, and the guest connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalForward {
    /// Where this machine listens.
    pub listen: Listen,
    /// Where the guest connects to.
    pub goal: Goal,
}

/// The guest listens, and this machine connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReverseForward {
    /// Where the guest listens.
    pub listen: Listen,
    /// Where this machine connects to.
    pub goal: Goal,
}

/// Ports from one to another, both included: `3000-3999`, or just `3000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    first: Port,
    last: Port,
}

impl PortRange {
    /// Tells whether a port is one of them.
    pub fn contains(&self, port: Port) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

/// A text that is not a forward.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForwardingError {
    /// One of its ports is none.
    #[error(transparent)]
    Port(#[from] PortError),
    /// A side is missing.
    #[error("`{given}` is not a forward: {why}")]
    Form {
        /// What was given, escaped.
        given: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl Diagnostic for ForwardingError {
    fn kind(&self) -> Kind {
        Kind::Usage
    }

    fn hints(&self) -> Vec<String> {
        vec![
            "write LISTEN:TARGET, for example `3000:8000`, `auto:8000`, `5432:db.internal:5432` or \
             `/tmp/x.sock:/run/docker.sock`"
                .to_owned(),
        ]
    }
}

fn form(given: &str, why: &'static str) -> ForwardingError {
    ForwardingError::Form { given: given.escape_debug().to_string(), why }
}

/// What looks like a path names a Unix socket.
fn socket(text: &str) -> Option<PathBuf> {
    text.contains('/').then(|| PathBuf::from(text))
}

impl Listen {
    fn parse(text: &str) -> Result<Self, ForwardingError> {
        match text {
            "auto" => Ok(Self::Auto),
            _ => Ok(socket(text).map_or_else(|| text.parse().map(Self::Port), |path| Ok(Self::Socket(path)))?),
        }
    }
}

impl Goal {
    fn parse(text: &str) -> Result<Self, ForwardingError> {
        if let Some(path) = socket(text) {
            return Ok(Self::Socket(path));
        }
        // An IPv6 address stands in brackets, because it is full of colons.
        let Some((host, port)) = text.rsplit_once(':') else {
            return Ok(Self::Tcp { host: None, port: text.parse()? });
        };
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let is_v6 = |host: &str| host.parse::<std::net::Ipv6Addr>().is_ok();
        let host = match bare {
            Some(address) if is_v6(address) => address,
            None if !is_v6(host) => host,
            _ => return Err(form(text, "an IPv6 address stands in brackets, and nothing else does")),
        };
        let host = host.parse().map_err(|_| form(text, "its host cannot be one"))?;
        Ok(Self::Tcp { host: Some(host), port: port.parse()? })
    }
}

/// Splits a forward at its first colon; a port by itself is both sides.
fn sides(text: &str) -> Result<(Listen, Goal), ForwardingError> {
    match text.split_once(':') {
        Some((listen, goal)) => Ok((Listen::parse(listen)?, Goal::parse(goal)?)),
        None if socket(text).is_some() => Err(form(text, "it does not say where the socket leads to")),
        None => {
            let port = text.parse()?;
            Ok((Listen::Port(port), Goal::Tcp { host: None, port }))
        }
    }
}

/// A path in the guest has no directory that it could be relative to.
fn absolute(given: &str, path: &Path) -> Result<(), ForwardingError> {
    if path.is_absolute() { Ok(()) } else { Err(form(given, "the guest's socket needs an absolute path")) }
}

impl FromStr for LocalForward {
    type Err = ForwardingError;

    fn from_str(text: &str) -> Result<Self, ForwardingError> {
        let (listen, goal) = sides(text)?;
        if let Goal::Socket(path) = &goal {
            absolute(text, path)?;
        }
        Ok(Self { listen, goal })
    }
}

impl FromStr for ReverseForward {
    type Err = ForwardingError;

    fn from_str(text: &str) -> Result<Self, ForwardingError> {
        let (listen, goal) = sides(text)?;
        if let Listen::Socket(path) = &listen {
            absolute(text, path)?;
        }
        Ok(Self { listen, goal })
    }
}

impl FromStr for PortRange {
    type Err = PortError;

    fn from_str(text: &str) -> Result<Self, PortError> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Ok(Self { first: first.parse()?, last: last.parse()? })
    }
}

/// `8000`, `db.internal:5432`, `[::1]:80` or `/run/app.sock`.
impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host: None, port } => port.fmt(f),
            Self::Tcp { host: Some(host), port } if host.as_str().contains(':') => {
                write!(f, "[{}]:{port}", host.as_str())
            }
            Self::Tcp { host: Some(host), port } => write!(f, "{}:{port}", host.as_str()),
            Self::Socket(path) => path.display().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn port(number: u16) -> Port {
        Port::new(number).unwrap()
    }

    fn local(text: &str) -> (Listen, String) {
        let LocalForward { listen, goal } = text.parse().unwrap();
        (listen, goal.to_string())
    }

    #[test]
    fn what_people_type() {
        let socket = |path: &str| Listen::Socket(path.into());
        for (text, listen, goal) in [
            ("3000:8000", Listen::Port(port(3000)), "8000"),
            ("8000", Listen::Port(port(8000)), "8000"),
            ("auto:8000", Listen::Auto, "8000"),
            ("3000:db.internal:5432", Listen::Port(port(3000)), "db.internal:5432"),
            ("3000:[::1]:80", Listen::Port(port(3000)), "[::1]:80"),
            ("/tmp/x.sock:/run/docker.sock", socket("/tmp/x.sock"), "/run/docker.sock"),
            ("8080:/run/app.sock", Listen::Port(port(8080)), "/run/app.sock"),
            ("8080:/run/a:b.sock", Listen::Port(port(8080)), "/run/a:b.sock"),
            ("./x.sock:80", socket("./x.sock"), "80"),
        ] {
            assert_eq!(local(text), (listen, goal.to_owned()), "{text}");
        }
        for bad in [
            "",
            ":",
            "auto",
            "0",
            "3000:",
            ":3000",
            "3000:0",
            "70000:1",
            "3000:a b:1",
            "3000:::1:80",
            "3000:[x]:80",
            "3000:-x:80",
            "/tmp/x.sock",
            "3000:./x.sock",
            "3000:x/y",
            "x:80",
            "3000:1:2:3",
            "1:2\n",
            "3000:[::1]",
        ] {
            assert!(bad.parse::<LocalForward>().is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn the_guests_paths_are_absolute_on_whichever_side() {
        let it: ReverseForward = "/run/x.sock:./y.sock".parse().unwrap();
        assert_eq!(it.goal, Goal::Socket("./y.sock".into()));
        assert!("./x.sock:/y.sock".parse::<ReverseForward>().is_err());
        assert!("./x.sock:/y.sock".parse::<LocalForward>().is_ok());
    }

    #[test]
    fn ranges() {
        let range: PortRange = "3000-3010".parse().unwrap();
        assert!(range.contains(port(3000)) && range.contains(port(3010)) && !range.contains(port(3011)));
        assert!("80".parse::<PortRange>().unwrap().contains(port(80)));
        for bad in ["", "-", "1-", "a-b", "1-2-3", "0-5"] {
            assert!(bad.parse::<PortRange>().is_err(), "{bad:?} was accepted");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_an_answer_and_a_goal_is_read_as_it_is_shown(text in "\\PC{0,30}|[0-9a-z:/.\\[\\]-]{0,30}") {
            if let Ok(LocalForward { listen, goal }) = text.parse() {
                let shown = match &listen {
                    Listen::Auto => format!("auto:{goal}"),
                    Listen::Port(port) => format!("{port}:{goal}"),
                    Listen::Socket(path) => format!("{}:{goal}", path.display()),
                };
                prop_assert_eq!(shown.parse::<LocalForward>().unwrap(), LocalForward { listen, goal });
            }
        }

        #[test]
        fn ports_keep_their_sides(a in 1u16.., b in 1u16..) {
            let it: LocalForward = format!("{a}:{b}").parse().unwrap();
            prop_assert_eq!(it.listen, Listen::Port(port(a)));
            prop_assert_eq!(it.goal, Goal::Tcp { host: None, port: port(b) });
        }
    }
}

//! What a VM can be waited for, as people type it.

use std::fmt;
use std::str::FromStr;

use crate::diagnostic::{Diagnostic, Kind};
use crate::vm::port::{Port, PortError};

/// What has to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It can be logged in to.
    Ready,
    /// It does not run.
    Stopped,
    /// Something in it accepts connections on this port of its own.
    Port(Port),
    /// A file or directory exists in it.
    File(String),
    /// A command line of `sh` in it exits with 0.
    Command(String),
}

/// A text that is no condition.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConditionError {
    /// Its port is none.
    #[error(transparent)]
    Port(#[from] PortError),
    /// There is no such condition.
    #[error("`{given}` is nothing that can be waited for")]
    Unknown {
        /// What was given, escaped.
        given: String,
    },
    /// It does not say which.
    #[error("`{given}` does not say what")]
    Empty {
        /// What was given, escaped.
        given: String,
    },
}

impl Diagnostic for ConditionError {
    fn kind(&self) -> Kind {
        Kind::Usage
    }

    fn hints(&self) -> Vec<String> {
        vec![
            "write `ready`, `stopped`, `port=3001`, `file=/run/app.pid` or `cmd='curl -fs localhost:3001'`"
                .to_owned(),
        ]
    }
}

impl FromStr for Condition {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        let given = || text.escape_debug().to_string();
        match text.split_once('=') {
            None if text == "ready" => Ok(Self::Ready),
            None if text == "stopped" => Ok(Self::Stopped),
            Some(("port", port)) => Ok(Self::Port(port.parse()?)),
            // No file and no command line has a NUL.
            Some(("file" | "cmd", "")) => Err(ConditionError::Empty { given: given() }),
            Some(("file", path)) if !path.contains('\0') => Ok(Self::File(path.to_owned())),
            Some(("cmd", line)) if !line.contains('\0') => Ok(Self::Command(line.to_owned())),
            _ => Err(ConditionError::Unknown { given: given() }),
        }
    }
}

/// As it is typed.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => f.write_str("ready"),
            Self::Stopped => f.write_str("stopped"),
            Self::Port(port) => write!(f, "port={port}"),
            Self::File(path) => write!(f, "file={path}"),
            Self::Command(line) => write!(f, "cmd={line}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_people_type() {
        for good in
            ["ready", "stopped", "port=3001", "file=/a b", "file=x=y", "cmd=test -e \"$HOME\" && exit 0"]
        {
            assert_eq!(good.parse::<Condition>().unwrap().to_string(), good);
        }
        for bad in
            ["", "Ready", "port", "port=", "port=0", "port=x", "file=", "cmd=", "file", "host=x", "cmd=\0"]
        {
            assert!(bad.parse::<Condition>().is_err(), "{bad:?} was accepted");
        }
    }

    proptest! {
        #[test]
        fn what_is_understood_is_shown_as_it_was_typed(text in "(port=|file=|cmd=|)[^\\x00]{0,20}") {
            if let Ok(condition) = text.parse::<Condition>() {
                prop_assert_eq!(condition.to_string().parse::<Condition>(), Ok(condition));
            }
        }
    }
}

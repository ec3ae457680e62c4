//! The name of a VM, checked once at the edge and trusted afterwards.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::diagnostic::{Diagnostic, Kind};

/// A VM name: ASCII letters, digits, `-` and `_`, the first one a letter or digit, at most [`VmName::MAX`] bytes.
///
/// Such a name is safe as a file name, as an argument (it cannot start with `-`), inside QEMU's option syntax
/// (it holds no comma) and, through [`VmName::hostname`], as a host name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VmName(String);

/// Why a text is not a VM name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("a VM name cannot be empty")]
    Empty,
    /// The name is too long for a socket path and a host name.
    #[error("the VM name `{name}` is {length} bytes long, the limit is {max}", max = VmName::MAX)]
    TooLong {
        /// What was given.
        name: String,
        /// Its length in bytes.
        length: usize,
    },
    /// The name starts with something other than a letter or digit.
    #[error("the VM name `{name}` starts with `{first}`; it has to start with a letter or digit")]
    BadStart {
        /// What was given.
        name: String,
        /// The offending character, escaped.
        first: String,
    },
    /// The name holds a character that is not allowed.
    #[error("the VM name `{name}` contains `{character}`")]
    BadCharacter {
        /// What was given, escaped.
        name: String,
        /// The offending character, escaped.
        character: String,
    },
}

impl Diagnostic for NameError {
    fn kind(&self) -> Kind {
        Kind::Usage
    }

    fn hints(&self) -> Vec<String> {
        vec!["use letters, digits, `-` and `_`, for example `web-1`".to_owned()]
    }
}

impl VmName {
    /// The longest name in bytes. A host name label may have 63 and a socket path 107; this leaves room for both.
    pub const MAX: usize = 48;

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the guest's host name: lower case, `_` as `-`, no `-` at the end.
    pub fn hostname(&self) -> String {
        let lowered = self.0.to_ascii_lowercase().replace('_', "-");
        lowered.trim_end_matches('-').to_owned()
    }
}

impl FromStr for VmName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let shown = || text.escape_debug().to_string();
        let Some(first) = text.chars().next() else { return Err(NameError::Empty) };
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if let Some(bad) = text.chars().find(|c| !allowed(*c)) {
            return Err(NameError::BadCharacter { name: shown(), character: bad.escape_debug().to_string() });
        }
        if !first.is_ascii_alphanumeric() {
            return Err(NameError::BadStart { name: shown(), first: first.to_string() });
        }
        if text.len() > Self::MAX {
            return Err(NameError::TooLong { name: shown(), length: text.len() });
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for VmName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<VmName> for String {
    fn from(name: VmName) -> Self {
        name.0
    }
}

impl fmt::Display for VmName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn accepts_what_users_type() {
        for good in ["web", "web-1", "Web_2", "1", &"a".repeat(VmName::MAX)] {
            assert_eq!(good.parse::<VmName>().unwrap().as_str(), good);
        }
    }

    #[test]
    fn refuses_what_would_hurt() {
        let long = "a".repeat(VmName::MAX + 1);
        for bad in
            ["", ".", "..", "../x", "-rf", "_x", "a b", "a\n", "a,b", "${x}", "%n", "ä", "a/b", "a.b", &long]
        {
            assert!(bad.parse::<VmName>().is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn derives_a_host_name() {
        assert_eq!("My_VM_".parse::<VmName>().unwrap().hostname(), "my-vm");
        assert_eq!("1".parse::<VmName>().unwrap().hostname(), "1");
    }

    proptest! {
        #[test]
        fn a_parsed_name_is_always_a_safe_file_and_host_name(text in "\\PC{0,60}") {
            if let Ok(name) = text.parse::<VmName>() {
                prop_assert!(name.as_str().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
                let host = name.hostname();
                prop_assert!(!host.is_empty() && !host.starts_with('-') && !host.ends_with('-'));
            }
        }
    }
}

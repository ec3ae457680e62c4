//! What a VM should be: everything that is decided when it is created.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::diagnostic::{Diagnostic, Kind};
use crate::vm::size::{CpuCount, DiskSize, MemorySize};

/// The hardware a guest sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hardware {
    /// Memory.
    #[serde(rename = "ram_mib")]
    pub memory: MemorySize,
    /// Virtual processors.
    pub cpus: CpuCount,
    /// Size of the disk as the guest sees it.
    #[serde(rename = "disk_gib")]
    pub disk: DiskSize,
}

/// How the guest's processors are run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AcceleratorChoice {
    /// By hardware where that really works, else by emulation.
    #[default]
    Auto,
    /// By hardware, or not at all.
    Kvm,
    /// By emulation.
    Tcg,
}

impl fmt::Display for AcceleratorChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Auto => "auto",
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        })
    }
}

impl FromStr for AcceleratorChoice {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        match text {
            "auto" => Ok(Self::Auto),
            "kvm" => Ok(Self::Kvm),
            "tcg" => Ok(Self::Tcg),
            _ => Err(SpecError::Accelerator { given: text.escape_debug().to_string() }),
        }
    }
}

/// A login name in a guest: what `useradd` of common systems accepts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserName(String);

impl UserName {
    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells whether it is the administrator's, which ai-vm does not give to a guest that it sets up.
    pub fn is_root(&self) -> bool {
        self.0 == "root"
    }
}

/// The login name where neither the user nor the host's account gives one.
impl Default for UserName {
    fn default() -> Self {
        Self("dev".to_owned())
    }
}

impl FromStr for UserName {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let starts_well = text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
        let all_well =
            text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b));
        if starts_well && all_well && text.len() <= 32 {
            Ok(Self(text.to_owned()))
        } else {
            Err(SpecError::User { given: text.escape_debug().to_string() })
        }
    }
}

impl TryFrom<String> for UserName {
    type Error = SpecError;

    fn try_from(text: String) -> Result<Self, SpecError> {
        text.parse()
    }
}

impl From<UserName> for String {
    fn from(name: UserName) -> Self {
        name.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A variable for a command in a guest: `KEY=VALUE`, the value exactly as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvVar {
    /// Letters, digits and `_`, not beginning with a digit.
    pub name: String,
    /// Any text.
    pub value: String,
}

impl FromStr for EnvVar {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let bad = || SpecError::EnvVar { given: text.escape_debug().to_string() };
        let (name, value) = text.split_once('=').ok_or_else(bad)?;
        let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if starts_well && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            Ok(Self { name: name.to_owned(), value: value.to_owned() })
        } else {
            Err(bad())
        }
    }
}

/// Why a part of a specification is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// Not a login name.
    #[error("`{given}` cannot be the login name in a guest")]
    User {
        /// What was given, escaped.
        given: String,
    },
    /// Not a variable.
    #[error("`{given}` is not a variable")]
    EnvVar {
        /// What was given, escaped.
        given: String,
    },
    /// Not a guest family.
    #[error("`{given}` is not a guest family")]
    Family {
        /// What was given, escaped.
        given: String,
    },
    /// Not an accelerator.
    #[error("`{given}` is not an accelerator")]
    Accelerator {
        /// What was given, escaped.
        given: String,
    },
    /// A URL that is not https.
    #[error("`{given}` is not an https URL")]
    NotHttps {
        /// What was given, escaped.
        given: String,
    },
    /// A URL without a checksum.
    #[error("`{given}` is a download and needs a checksum")]
    NoChecksum {
        /// What was given, escaped.
        given: String,
    },
    /// Not a SHA-256.
    #[error("`{given}` is not a SHA-256 checksum: that is 64 hexadecimal digits")]
    Checksum {
        /// What was given, escaped.
        given: String,
    },
    /// A path that cannot be kept in a record.
    #[error("the path `{}` is not valid UTF-8", path.display())]
    Path {
        /// What was given.
        path: PathBuf,
    },
}

impl Diagnostic for SpecError {
    fn kind(&self) -> Kind {
        Kind::Usage
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::User { .. } => {
                vec![
                    "use lower-case letters, digits, `-` and `_`, not `root`: for example `--user dev`"
                        .to_owned(),
                ]
            }
            Self::EnvVar { .. } => vec!["write KEY=VALUE, for example `--env LANG=C`".to_owned()],
            Self::Family { .. } => vec!["use `nixos`, `debian` or `image`".to_owned()],
            Self::Accelerator { .. } => vec!["use `--accel auto`, `--accel kvm` or `--accel tcg`".to_owned()],
            Self::NotHttps { .. } => {
                vec!["download it yourself and give the file: `--image FILE`".to_owned()]
            }
            Self::NoChecksum { .. } => {
                vec!["add `--sha256 DIGEST`; publishers list it beside the image".to_owned()]
            }
            Self::Checksum { .. } | Self::Path { .. } => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_names() {
        for good in ["dev", "_x", "a-b_1", "root"] {
            assert!(good.parse::<UserName>().is_ok(), "{good}");
        }
        for bad in ["", "Dev", "1a", "-a", "a b", "a:b", "a\n", "ä", &"a".repeat(33)] {
            assert!(bad.parse::<UserName>().is_err(), "{bad:?} was accepted");
        }
    }
}

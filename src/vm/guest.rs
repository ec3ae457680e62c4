//! Which system a VM runs.

use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::vm::endpoint::{Endpoint, HostName};
use crate::vm::port::Port;
use crate::vm::spec::SpecError;

/// Which system a VM runs, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "family", rename_all = "lowercase")]
pub enum Guest {
    /// The Debian guest that ai-vm builds itself.
    Debian,
    /// A disk image that the user brings, set up by its cloud-init.
    Image {
        /// An absolute path, or an `https://` URL.
        source: String,
        /// The SHA-256 of the image file in hexadecimal; always there for a URL.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sha256: Option<String>,
    },
    /// A NixOS that Nix builds from a flake.
    Nixos(Nixos),
    /// Whatever runs on a machine that ai-vm does not run, and only reaches.
    Adopted(Adopted),
}

/// A guest family that a VM can be created with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// See [`Guest::Debian`].
    Debian,
    /// See [`Guest::Image`].
    Image,
    /// See [`Guest::Nixos`].
    Nixos,
}

impl Family {
    /// Returns its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Debian => "debian",
            Self::Image => "image",
            Self::Nixos => "nixos",
        }
    }
}

impl FromStr for Family {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let found = [Self::Debian, Self::Image, Self::Nixos].into_iter().find(|family| family.name() == text);
        found.ok_or_else(|| SpecError::Family { given: text.escape_debug().to_string() })
    }
}

/// What is decided about a NixOS guest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nixos {
    /// The flake that it is built from, where one was named for this VM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flake: Option<String>,
    /// The release whose defaults its data follow, from its first build on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_version: Option<String>,
}

/// A machine that something else runs: where it is reached, and by which key. The login name is the record's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adopted {
    /// Its host.
    pub host: HostName,
    /// The port of its SSH server.
    #[serde(default = "ssh_port", skip_serializing_if = "is_ssh_port")]
    pub port: Port,
    /// The only private key to log in with, an absolute path. Without one it is whatever the user has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<PathBuf>,
}

impl Adopted {
    /// Returns where its SSH server listens.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint { host: self.host.clone(), port: self.port }
    }
}

const fn ssh_port() -> Port {
    Port::SSH
}

fn is_ssh_port(port: &Port) -> bool {
    *port == Port::SSH
}

impl Guest {
    /// Makes an image guest from an absolute path or a URL; a URL has to be https and come with a checksum.
    pub fn image(source: &str, sha256: Option<&str>) -> Result<Self, SpecError> {
        let shown = || source.escape_debug().to_string();
        if source.contains("://") {
            if !source.starts_with("https://") || source.chars().any(|c| c.is_control() || c == ' ') {
                return Err(SpecError::NotHttps { given: shown() });
            }
            if sha256.is_none() {
                return Err(SpecError::NoChecksum { given: shown() });
            }
        }
        let sha256 = sha256.map(|digest| {
            let well_formed = digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit());
            let bad = || SpecError::Checksum { given: digest.escape_debug().to_string() };
            well_formed.then(|| digest.to_ascii_lowercase()).ok_or_else(bad)
        });
        Ok(Self::Image { source: source.to_owned(), sha256: sha256.transpose()? })
    }

    /// Returns the name of the family, as `ls` shows it.
    pub const fn family(&self) -> &'static str {
        match self {
            Self::Debian => Family::Debian.name(),
            Self::Image { .. } => Family::Image.name(),
            Self::Nixos(_) => Family::Nixos.name(),
            Self::Adopted(_) => "adopted",
        }
    }

    /// Tells whether this is what was asked for; what came of its first build does not count.
    pub fn is_as(&self, asked: &Self) -> bool {
        match (self, asked) {
            (Self::Nixos(is), Self::Nixos(asked)) => asked.flake.is_none() || asked.flake == is.flake,
            (is, asked) => is == asked,
        }
    }

    /// Tells whether something else than ai-vm runs it.
    pub const fn is_adopted(&self) -> bool {
        matches!(self, Self::Adopted(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_files_or_checked_downloads() {
        let digest = "A".repeat(64);
        assert!(Guest::image("/x.qcow2", None).is_ok());
        let url = Guest::image("https://example.org/x.qcow2", Some(&digest)).unwrap();
        assert!(matches!(url, Guest::Image { sha256: Some(kept), .. } if kept == "a".repeat(64)));
        for (source, sha256) in [
            ("https://example.org/x", None),
            ("http://example.org/x", Some(digest.as_str())),
            ("file:///x", Some(digest.as_str())),
            ("/x.qcow2", Some("abc")),
        ] {
            assert!(Guest::image(source, sha256).is_err(), "{source} was accepted");
        }
    }
}

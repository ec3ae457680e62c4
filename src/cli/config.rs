//! The configuration file: defaults for new VMs. Unknown keys are errors, because a misspelt default is a surprise
//! later.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::diagnostic::{Diagnostic, Kind};
use crate::host::files::{self, FileError};
use crate::vm::guest::Family;
use crate::vm::login_mode::LoginMode;
use crate::vm::size::{CpuCount, DiskSize, MemorySize};
use crate::vm::spec::{AcceleratorChoice, Hardware, UserName};
use crate::vm::typed;

/// The largest configuration file that is read, in bytes.
const MAX_BYTES: u64 = 64 * 1024;

/// What a configuration file can say. Everything is optional.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Memory of a new VM, as on the command line: `ram = "8gb"` or `ram = 8`.
    #[serde(default, deserialize_with = "typed::value")]
    pub ram: Option<MemorySize>,
    /// Processors of a new VM.
    #[serde(default, deserialize_with = "typed::value")]
    pub cpu: Option<CpuCount>,
    /// Disk of a new VM.
    #[serde(default, deserialize_with = "typed::value")]
    pub storage: Option<DiskSize>,
    /// Guest family of a new VM.
    #[serde(default, deserialize_with = "typed::value")]
    pub guest: Option<Family>,
    /// The flake that NixOS guests are built from.
    #[serde(default)]
    pub flake: Option<String>,
    /// Login name in a new VM.
    #[serde(default, deserialize_with = "typed::value")]
    pub user: Option<UserName>,
    /// How Claude Code in a new VM is logged in.
    #[serde(default, deserialize_with = "typed::value")]
    pub claude: Option<LoginMode>,
    /// What of this machine's Claude Code configuration VMs get.
    #[serde(default)]
    pub sync: SyncSettings,
    /// How processors are run.
    #[serde(default, deserialize_with = "typed::value")]
    pub accel: Option<AcceleratorChoice>,
    /// The Debian mirror that images are made from.
    #[serde(default)]
    pub mirror: Option<String>,
}

/// What of this machine's Claude Code configuration VMs get, and when.
#[derive(Clone, Debug, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct SyncSettings {
    /// Whether it is sent when a VM starts, and before `start-claude`, without being asked for.
    pub auto: bool,
    /// Whether plugins are.
    pub plugins: bool,
    /// Whether hooks are that need nothing of this machine.
    pub hooks: bool,
    /// Variables of the settings' `env` that are, whatever they hold.
    pub env: Vec<String>,
}

impl Default for SyncSettings {
    fn default() -> Self {
        Self { auto: true, plugins: false, hooks: false, env: Vec::new() }
    }
}

/// Why the configuration file is not used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It does not say what it should.
    #[error("{}:{line}: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
}

impl Diagnostic for ConfigError {
    fn kind(&self) -> Kind {
        match self {
            Self::File(error) => error.kind(),
            Self::Content { .. } => Kind::Usage,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::File(error) => error.hints(),
            Self::Content { .. } => {
                vec![
                    "known keys: `ram`, `cpu`, `storage`, `guest`, `flake`, `user`, `claude`, `accel`, `mirror`, `[sync]`"
                        .to_owned(),
                ]
            }
        }
    }
}

impl Config {
    /// Reads the file; one that is not there says nothing.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        if !path.exists() {
            return Ok(Self::default());
        }
        let content = files::read_bounded(path, MAX_BYTES)?;
        Self::parse(&String::from_utf8_lossy(&content), path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        typed::read(text).map_err(|typed::Mistake { line, reason }| ConfigError::Content {
            path: path.to_owned(),
            line,
            reason,
        })
    }

    /// Returns the hardware of a VM for which nothing else is asked on the command line.
    pub fn hardware(&self) -> Hardware {
        Hardware {
            memory: self.ram.unwrap_or(MemorySize::DEFAULT),
            cpus: self.cpu.unwrap_or(CpuCount::DEFAULT),
            disk: self.storage.unwrap_or(DiskSize::DEFAULT),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(text, Path::new("/c.toml"))
    }

    #[test]
    fn sizes_are_written_as_on_the_command_line() {
        let config = parse("ram = \"512mb\"\ncpu = 4\nuser = \"dev\"\n").unwrap();
        let hardware = config.hardware();
        assert_eq!((hardware.memory.mib(), hardware.cpus.get(), hardware.disk.gib()), (512, 4, 50));
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        for (text, line, part) in [
            ("cpu = 2\nrum = 8\n", 2, "unknown field `rum`"),
            ("ram = \"lots\"\n", 1, "`lots` is not a valid memory size"),
            ("ram = 8\n\ncpu = true\n", 3, "a string or a whole number"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("/c.toml:{line}: ")) && error.contains(part), "{error}");
        }
    }
}

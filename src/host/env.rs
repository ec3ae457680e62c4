//! The only reader of environment variables that decide where things are.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use crate::diagnostic::{Diagnostic, Kind};

/// Where Claude Code of this machine's user keeps what it has, whether it is there or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaudeFiles {
    /// Its directory: `CLAUDE_CONFIG_DIR`, else `~/.claude`.
    pub dir: PathBuf,
    /// What it knows about itself and its account: `.claude.json` in `CLAUDE_CONFIG_DIR`, else in the home directory.
    pub state: PathBuf,
}

impl ClaudeFiles {
    /// Where it keeps its login, where that is not a keychain.
    pub fn credentials(&self) -> PathBuf {
        self.dir.join(".credentials.json")
    }
}

/// What the session of the person at the keyboard has, to see and to hear.
#[derive(Clone, Debug, Default)]
pub struct Seat {
    /// Whether windows can be opened: `DISPLAY` or `WAYLAND_DISPLAY`.
    pub has_display: bool,
    /// Where PulseAudio is, when it is not where it is by default: `PULSE_SERVER`.
    pub pulse_server: Option<String>,
    /// Where sockets of the session are: `XDG_RUNTIME_DIR`.
    pub runtime_dir: Option<PathBuf>,
}

/// What the environment says about directories and the user.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Where VMs and images are kept: `AI_VM_HOME`, else `$XDG_DATA_HOME/ai-vms`, else `~/.local/share/ai-vms`.
    pub data: PathBuf,
    /// The configuration file: `AI_VM_CONFIG`, else `$XDG_CONFIG_HOME/ai-vm/config.toml`, else
    /// `~/.config/ai-vm/config.toml`.
    pub config: PathBuf,
    /// That person's home directory, if there is one.
    pub home: Option<PathBuf>,
    /// That person's Claude Code.
    pub claude: Option<ClaudeFiles>,
    /// The QEMU to run instead of the one on `PATH`: `AI_VM_QEMU`.
    pub qemu: Option<PathBuf>,
    /// The guest family of new VMs, before the configuration file: `AI_VM_GUEST`.
    pub guest: Option<String>,
    /// The flake that NixOS guests are built from: `AI_VM_FLAKE`.
    pub flake: Option<String>,
    /// The flake that this program was installed from, as its wrapper says: `AI_VM_OWN_FLAKE`.
    pub own_flake: Option<String>,
    /// The login name of the person at the keyboard, when the environment tells.
    pub user: Option<String>,
    /// What that person's session has.
    pub seat: Seat,
    /// The socket of that person's SSH agent: `SSH_AUTH_SOCK`.
    pub agent: Option<PathBuf>,
    /// Where that person's SSH keys are by custom, whether they are there or not.
    pub keys: Vec<PathBuf>,
    /// That person's configuration of OpenSSH, `~/.ssh/config`, whether it is there or not.
    pub ssh_config: Option<PathBuf>,
}

/// The environment does not say where to keep things.
#[derive(Debug, thiserror::Error)]
pub enum EnvError {
    /// Neither an override nor a home directory is set.
    #[error("no home directory: HOME is not set")]
    NoHome,
    /// A directory variable holds a path that is not absolute.
    #[error("{variable} is `{}`, which is not an absolute path", path.display())]
    NotAbsolute {
        /// The variable.
        variable: &'static str,
        /// Its value.
        path: PathBuf,
    },
}

impl Diagnostic for EnvError {
    fn kind(&self) -> Kind {
        Kind::Usage
    }

    fn hints(&self) -> Vec<String> {
        vec!["name the directory for VMs: `export AI_VM_HOME=/path/to/ai-vms`".to_owned()]
    }
}

impl Environment {
    /// Reads the process environment.
    pub fn read() -> Result<Self, EnvError> {
        Self::from_lookup(|name| env::var_os(name))
    }

    fn from_lookup(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Self, EnvError> {
        let set = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let path = |variable: &'static str| match set(variable).map(PathBuf::from) {
            Some(path) if !path.is_absolute() => Err(EnvError::NotAbsolute { variable, path }),
            other => Ok(other),
        };
        let below_home = |rest: &str| Ok(path("HOME")?.ok_or(EnvError::NoHome)?.join(rest));
        let data = match (path("AI_VM_HOME")?, path("XDG_DATA_HOME")?) {
            (Some(own), _) => own,
            (None, Some(xdg)) => xdg.join("ai-vms"),
            (None, None) => below_home(".local/share/ai-vms")?,
        };
        let config = match (path("AI_VM_CONFIG")?, path("XDG_CONFIG_HOME")?) {
            (Some(own), _) => own,
            (None, Some(xdg)) => xdg.join("ai-vm/config.toml"),
            // A machine account without a home still has a data directory; it simply has no configuration file.
            (None, None) => {
                below_home(".config/ai-vm/config.toml").unwrap_or_else(|_| data.join("config.toml"))
            }
        };
        let text = |name: &str| set(name).and_then(|value| value.into_string().ok());
        let user = text("USER").or_else(|| text("LOGNAME"));
        // As OpenSSH does, but RSA last.
        let names = ["id_ed25519", "id_ecdsa", "id_rsa"];
        let key = |name| below_home(&format!(".ssh/{name}")).ok();
        let agent = set("SSH_AUTH_SOCK").map(PathBuf::from).filter(|path| path.is_absolute());
        let keys = names.into_iter().filter_map(key).collect();
        let ssh_config = below_home(".ssh/config").ok();
        let home = path("HOME").ok().flatten();
        // As Claude Code takes one that is relative.
        let claude_dir = set("CLAUDE_CONFIG_DIR").and_then(|dir| std::path::absolute(dir).ok());
        let claude = match (claude_dir, &home) {
            (Some(dir), _) => Some(ClaudeFiles { state: dir.join(".claude.json"), dir }),
            (None, Some(home)) => {
                Some(ClaudeFiles { dir: home.join(".claude"), state: home.join(".claude.json") })
            }
            (None, None) => None,
        };
        Ok(Self {
            data,
            config,
            home,
            claude,
            qemu: path("AI_VM_QEMU")?,
            guest: text("AI_VM_GUEST"),
            flake: text("AI_VM_FLAKE"),
            own_flake: text("AI_VM_OWN_FLAKE"),
            user,
            seat: Seat {
                has_display: set("DISPLAY").or_else(|| set("WAYLAND_DISPLAY")).is_some(),
                pulse_server: text("PULSE_SERVER"),
                runtime_dir: set("XDG_RUNTIME_DIR").map(PathBuf::from),
            },
            agent,
            keys,
            ssh_config,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&str, &str)]) -> Result<Environment, EnvError> {
        Environment::from_lookup(|name| {
            pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn the_nearest_setting_wins() {
        let home = ("HOME", "/home/u");
        assert_eq!(with(&[home]).unwrap().data, PathBuf::from("/home/u/.local/share/ai-vms"));
        assert_eq!(with(&[home, ("XDG_DATA_HOME", "/x")]).unwrap().data, PathBuf::from("/x/ai-vms"));
        let own = with(&[home, ("XDG_DATA_HOME", "/x"), ("AI_VM_HOME", "/own")]).unwrap();
        assert_eq!(own.data, PathBuf::from("/own"));
        assert_eq!(own.config, PathBuf::from("/home/u/.config/ai-vm/config.toml"));
    }

    #[test]
    fn nothing_is_guessed() {
        assert!(matches!(with(&[]), Err(EnvError::NoHome)));
        assert!(matches!(with(&[("AI_VM_HOME", "rel")]), Err(EnvError::NotAbsolute { .. })));
        assert!(matches!(with(&[("HOME", "")]), Err(EnvError::NoHome)));
    }
}

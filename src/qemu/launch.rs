//! Starts QEMU and sees it come up.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::diagnostic::{Diagnostic, Kind};
use crate::host::detached;
use crate::host::files::{self, FileError, failed};
use crate::host::layout::VmDir;
use crate::host::lock;
use crate::qemu::qmp;
use crate::vm::port::Port;
use crate::vm::state::Answer;

/// The most that is read of QEMU's own words, in bytes.
const MAX_LOG: u64 = 1 << 20;

/// Why QEMU did not come up.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// A forwarded port is in use by something else.
    #[error("the host port {port} is taken")]
    PortTaken {
        /// The port.
        port: Port,
    },
    /// The port of the screen is in use by something else.
    #[error("the host port of the screen is taken")]
    ScreenPortTaken,
    /// This QEMU does not know the machine.
    #[error("this QEMU does not know the VM's machine type: {said}")]
    Machine {
        /// QEMU's words.
        said: String,
    },
    /// This QEMU was built without 9p.
    #[error("this QEMU cannot share folders: {said}")]
    NoShares {
        /// QEMU's words.
        said: String,
    },
    /// QEMU ended at once.
    #[error("QEMU ended at once: {said}")]
    Ended {
        /// Its last words.
        said: String,
    },
    /// QEMU did not open its control socket in time.
    #[error("QEMU did not come up within {} s", limit.as_secs())]
    Timeout {
        /// The time it had.
        limit: Duration,
    },
    /// QEMU could not be started.
    #[error("cannot run `{program}`")]
    Spawn {
        /// The program.
        program: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Diagnostic for LaunchError {
    fn kind(&self) -> Kind {
        match self {
            Self::PortTaken { .. } | Self::ScreenPortTaken => Kind::Conflict,
            Self::Timeout { .. } => Kind::Timeout,
            Self::File(error) => error.kind(),
            Self::Machine { .. } | Self::NoShares { .. } | Self::Ended { .. } | Self::Spawn { .. } => {
                Kind::Failed
            }
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Machine { .. } => vec!["ai-vm needs QEMU 7.2 or newer".to_owned()],
            Self::NoShares { .. } => vec![
                "use a QEMU with VirtFS, as Debian, Fedora and Nix build it: `export AI_VM_QEMU=FILE`"
                    .to_owned(),
                "or start the VM without shares: `ai-vm share rm NAME SHARE`".to_owned(),
            ],
            Self::Ended { said } if said.contains("KVM") || said.contains("kvm") => {
                vec![
                    "emulate instead: `ai-vm config` shows `accel`, which can be \"auto\" or \"tcg\""
                        .to_owned(),
                ]
            }
            Self::Ended { said } if said.contains("Cannot allocate memory") => {
                vec!["give the VM less memory, or stop another one: `ai-vm ls`".to_owned()]
            }
            Self::File(error) => error.hints(),
            _ => Vec::new(),
        }
    }
}

/// What QEMU is started with.
#[derive(Debug, Default)]
pub struct Given {
    /// Its arguments.
    pub args: Vec<OsString>,
    /// The folders that its arguments name by their descriptors.
    pub folders: Vec<OwnedFd>,
    /// The names of the variables of this process that it sees besides those that every QEMU does.
    pub variables: Vec<&'static str>,
}

/// Starts QEMU in a VM's directory. It gives up the run lock when it dies. Waits until it answers; if it does not come up
/// it is ended.
pub async fn launch(
    qemu: &Path,
    given: Given,
    dir: &VmDir,
    run_lock: File,
    limit: Duration,
) -> Result<(), LaunchError> {
    // A stale socket would be taken for the new one, and the words of an earlier launch for this one's.
    for socket in [VmDir::QMP_SOCKET, VmDir::CONSOLE_SOCKET] {
        files::remove_if_there(&dir.file(socket))?;
    }
    for (log, earlier) in
        [(VmDir::QEMU_LOG, VmDir::EARLIER_QEMU_LOG), (VmDir::CONSOLE_LOG, VmDir::EARLIER_CONSOLE_LOG)]
    {
        keep_earlier(dir, log, earlier)?;
    }
    let mut command = Command::new(qemu);
    command.args(given.args);
    detached::pass_on(&mut command, given.folders);
    let log = dir.file(VmDir::QEMU_LOG);
    let spawned = detached::spawn(command, dir.path(), run_lock, &log, &given.variables);
    spawned.map_err(|source| LaunchError::Spawn { program: qemu.display().to_string(), source })?;
    match come_up(dir, limit).await {
        Ok(()) => Ok(()),
        Err(error) => {
            end(dir);
            Err(error)
        }
    }
}

/// Moves the log of the launch before this one aside.
fn keep_earlier(dir: &VmDir, log: &str, earlier: &str) -> Result<(), FileError> {
    let path = dir.file(log);
    match std::fs::rename(&path, dir.file(earlier)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("move", &path)(error)),
        _ => Ok(()),
    }
}

async fn come_up(dir: &VmDir, limit: Duration) -> Result<(), LaunchError> {
    let deadline = Instant::now() + limit;
    let lock = dir.file(VmDir::RUN_LOCK);
    let mut pause = Duration::from_millis(2);
    loop {
        match qmp::status(dir).await {
            Answer::Absent | Answer::Silent => {}
            Answer::Failed(status) => {
                return Err(LaunchError::Ended { said: format!("it is in the state {status}") });
            }
            Answer::Running | Answer::Paused => return Ok(()),
        }
        if !lock::is_held(&lock)? {
            return Err(explain(&last_words(dir)));
        }
        if Instant::now() >= deadline {
            return Err(LaunchError::Timeout { limit });
        }
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Kills the QEMU that holds a VM's run lock, if there is one.
pub fn end(dir: &VmDir) {
    if let Some(process) = detached::find_by_stdin(&dir.file(VmDir::RUN_LOCK)) {
        // Whether it worked shows in the lock.
        let _ = process.kill();
    }
}

/// Returns what QEMU said in the last launch, without its time stamps.
pub fn last_words(dir: &VmDir) -> String {
    let said = files::read_bounded(&dir.file(VmDir::QEMU_LOG), MAX_LOG).unwrap_or_default();
    let said = String::from_utf8_lossy(&said).into_owned();
    let words = said.lines().filter_map(|line| {
        line.split_once("qemu-system-x86_64: ").map_or(Some(line), |(_, rest)| Some(rest))
    });
    let words: Vec<&str> =
        words.filter(|line| !line.starts_with("warning:") && !line.trim().is_empty()).collect();
    words.get(words.len().saturating_sub(3)..).unwrap_or_default().join("; ")
}

/// Turns QEMU's words into the error they mean.
fn explain(said: &str) -> LaunchError {
    // "Could not set up host forwarding rule 'tcp:127.0.0.1:2222-:22'"
    let port = said.split_once("host forwarding rule 'tcp:").and_then(|(_, rest)| {
        let (listener, _) = rest.split_once("-:")?;
        listener.rsplit(':').next()?.parse().ok()
    });
    if let Some(port) = port {
        return LaunchError::PortTaken { port };
    }
    // Of SPICE, the port is in a warning before these words.
    if said.contains("failed to initialize spice server")
        || (said.contains("-vnc ") && said.contains("Address already in use"))
    {
        return LaunchError::ScreenPortTaken;
    }
    if said.contains("unsupported machine type") {
        return LaunchError::Machine { said: said.to_owned() };
    }
    if ["fsdev support is disabled", "'virtio-9p-pci' is not a valid device", "-fsdev: invalid option"]
        .iter()
        .any(|words| said.contains(words))
    {
        return LaunchError::NoShares { said: said.to_owned() };
    }
    let said = if said.is_empty() { "it said nothing" } else { said };
    LaunchError::Ended { said: said.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_errors() {
        let taken = "-netdev user,id=net: Could not set up host forwarding rule 'tcp:127.0.0.1:2222-:22'";
        assert!(matches!(explain(taken), LaunchError::PortTaken { port } if port.get() == 2222));
        for screen in [
            "failed to initialize spice server",
            "-vnc 127.0.0.1:1,password-secret=screen: Failed to find an available port: Address already in use",
        ] {
            assert!(matches!(explain(screen), LaunchError::ScreenPortTaken), "{screen}");
        }
        assert!(matches!(explain("x: unsupported machine type"), LaunchError::Machine { .. }));
        for words in
            ["fsdev support is disabled", "-device x: 'virtio-9p-pci' is not a valid device model name"]
        {
            assert!(matches!(explain(words), LaunchError::NoShares { .. }), "{words}");
        }
        assert!(explain("").to_string().ends_with("it said nothing"));
    }

    #[test]
    fn only_the_last_words_without_their_time() {
        let dir = tempfile::tempdir().unwrap();
        let dir = VmDir::at(dir.path());
        let log = "2026-01-01T00:00:00Z qemu-system-x86_64: warning: x\n2026-01-01T00:00:00Z qemu-system-x86_64: no disk\n";
        std::fs::write(dir.file(VmDir::QEMU_LOG), log).unwrap();
        assert_eq!(last_words(&dir), "no disk");
    }
}

//! Why something in the life of a VM failed.

use std::time::Duration;

use crate::diagnostic::{Diagnostic, Kind};
use crate::guest::error::ImageError;
use crate::host::files::FileError;
use crate::host::lock::LockError;
use crate::host::program::ProcessError;
use crate::lifecycle::folder::FolderError;
use crate::lifecycle::rotate_error::RotateError;
use crate::lifecycle::share_error::ShareError;
use crate::qemu::accel::VerdictError;
use crate::qemu::disk::DiskError;
use crate::qemu::launch::LaunchError;
use crate::qemu::qmp::QmpError;
use crate::qemu::sound::SoundError;
use crate::registry::error::RegistryError;
use crate::registry::ports::ReserveError;
use crate::ssh::error::ConnectError;
use crate::ssh::forward::error::ForwardError;
use crate::ssh::keys::KeyError;
use crate::ssh::session::SessionError;
use crate::vm::name::VmName;
use crate::vm::port::Port;

/// Why a VM was not created, started, reached, stopped or removed.
#[derive(Debug, thiserror::Error)]
pub enum LifecycleError {
    /// It does not run.
    #[error("`{name}` is stopped")]
    Stopped {
        /// The VM.
        name: VmName,
    },
    /// It runs, and must not.
    #[error("`{name}` is running")]
    Running {
        /// The VM.
        name: VmName,
    },
    /// It runs, and was to be started with another disk or system.
    #[error("`{name}` is running already, with the disk and the system that it has")]
    NotAnew {
        /// The VM.
        name: VmName,
    },
    /// Another ai-vm is doing something with it.
    #[error("`{name}` is being worked on by {holder}")]
    Busy {
        /// The VM.
        name: VmName,
        /// Who that is.
        holder: String,
    },
    /// Its disk is gone.
    #[error("the disk of `{name}` is missing: `{path}`")]
    DiskMissing {
        /// The VM.
        name: VmName,
        /// Where it should be.
        path: String,
    },
    /// QEMU ended while it was waited for.
    #[error("QEMU ended while `{name}` was starting{}", after_colon(said))]
    Died {
        /// The VM.
        name: VmName,
        /// Its last words, or the console's.
        said: String,
    },
    /// QEMU ended, and not because the guest had powered off or because it was told to.
    #[error("QEMU of `{name}` ended: {said}")]
    Crashed {
        /// The VM.
        name: VmName,
        /// How, and its last words.
        said: String,
    },
    /// QEMU does not let the guest run.
    #[error("`{name}` does not run: {why}")]
    Halted {
        /// The VM.
        name: VmName,
        /// What QEMU says, or does not say.
        why: String,
    },
    /// The guest was not reached in time.
    #[error("`{name}` was not ready within {} s: {last}{}", waited.as_secs(), console_line(console))]
    NotReady {
        /// The VM.
        name: VmName,
        /// How long it was waited for.
        waited: Duration,
        /// How the last attempt failed.
        last: String,
        /// The console's last line.
        console: Option<String>,
    },
    /// Something that it was waited for did not come to hold in it.
    #[error("`{name}` was waited for in vain for {} s: {missing}", waited.as_secs())]
    NotHeld {
        /// The VM.
        name: VmName,
        /// How long it was waited for.
        waited: Duration,
        /// What does not hold, each with what was seen of it last.
        missing: String,
    },
    /// It was to be waited for until it is stopped, and it is not.
    #[error("`{name}` still runs after {} s", waited.as_secs())]
    StillRuns {
        /// The VM.
        name: VmName,
        /// How long it was waited for.
        waited: Duration,
    },
    /// It could not be ended.
    #[error("`{name}` did not stop within {} s and could not be killed", waited.as_secs())]
    WillNotStop {
        /// The VM.
        name: VmName,
        /// How long it was waited for.
        waited: Duration,
    },
    /// Something else runs it, so that this is not for ai-vm to do.
    #[error("`{name}` is run by something else, so this does not apply to it")]
    Adopted {
        /// The machine.
        name: VmName,
    },
    /// What something else runs has no image here.
    #[error("a machine that something else runs has no image")]
    NoImage,
    /// A machine that something else runs cannot be logged in to.
    #[error("`{name}` cannot be reached")]
    Unreachable {
        /// The machine.
        name: VmName,
        /// Why not.
        #[source]
        error: Box<ConnectError>,
    },
    /// A machine that something else runs was waited for in vain.
    #[error("`{name}` could not be reached within {} s", waited.as_secs())]
    NotReached {
        /// The machine.
        name: VmName,
        /// How long it was waited for.
        waited: Duration,
        /// How the last attempt failed.
        #[source]
        last: Box<ConnectError>,
    },
    /// A machine was not taken into the registry, because it cannot be logged in to.
    #[error("`{name}` is not adopted, because it cannot be logged in to")]
    NotAdopted {
        /// The name that it was to have.
        name: VmName,
        /// Why not.
        #[source]
        error: Box<ConnectError>,
    },
    /// There is no way to its SSH server.
    #[error("no SSH port is forwarded to `{name}`")]
    NoSshPort {
        /// The VM.
        name: VmName,
    },
    /// A host port that is to be taken away leads to nothing of it.
    #[error("`{name}` has no forward on the host port {host}")]
    NoForward {
        /// The VM.
        name: VmName,
        /// The host port.
        host: Port,
    },
    /// The forward by which ai-vm reaches it is to be taken away.
    #[error("the host port {host} leads to the SSH server of `{name}`, without which ai-vm cannot reach it")]
    SshForward {
        /// The VM.
        name: VmName,
        /// The host port.
        host: Port,
    },
    /// Background work ended in an unexpected way.
    #[error("an internal task failed")]
    Task(#[from] tokio::task::JoinError),
    /// See there.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// See there.
    #[error(transparent)]
    Ports(#[from] ReserveError),
    /// See there.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// See there.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// See there.
    #[error(transparent)]
    Accelerator(#[from] VerdictError),
    /// See there.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// See there.
    #[error(transparent)]
    Sound(#[from] SoundError),
    /// See there.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// See there.
    #[error(transparent)]
    Qmp(#[from] QmpError),
    /// See there.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// See there.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// See there.
    #[error(transparent)]
    Forward(#[from] ForwardError),
    /// See there.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// See there.
    #[error(transparent)]
    Rotate(#[from] RotateError),
    /// See there.
    #[error(transparent)]
    Share(#[from] ShareError),
    /// See there.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// See there.
    #[error(transparent)]
    File(#[from] FileError),
    /// See there.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The system gave no random bytes.
    #[error("cannot make an identity for the VM")]
    Random(#[from] std::io::Error),
}

fn after_colon(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

fn console_line(console: &Option<String>) -> String {
    console.as_ref().map(|line| format!("\n  console: {line}")).unwrap_or_default()
}

impl LifecycleError {
    /// Returns the error of another room that this one passes on.
    fn inner(&self) -> Option<&dyn Diagnostic> {
        Some(match self {
            Self::Registry(error) => error,
            Self::Ports(error) => error,
            Self::Image(error) => error,
            Self::Disk(error) => error,
            Self::Accelerator(error) => error,
            Self::Folder(error) => error,
            Self::Sound(error) => error,
            Self::Launch(error) => error,
            Self::Qmp(error) => error,
            Self::Connect(error) => error,
            Self::Session(error) => error,
            Self::Forward(error) => error,
            Self::Key(error) => error,
            Self::Rotate(error) => error,
            Self::Share(error) => error,
            Self::Process(error) => error,
            Self::File(error) => error,
            Self::Lock(error) => error,
            _ => return None,
        })
    }
}

impl Diagnostic for LifecycleError {
    fn kind(&self) -> Kind {
        match self {
            Self::Running { .. } | Self::NotAnew { .. } | Self::Busy { .. } => Kind::Conflict,
            Self::Adopted { .. } | Self::NoImage | Self::SshForward { .. } => Kind::Usage,
            Self::Unreachable { error, .. } | Self::NotAdopted { error, .. } => error.kind(),
            Self::NotReady { .. }
            | Self::NotReached { .. }
            | Self::NotHeld { .. }
            | Self::StillRuns { .. }
            | Self::WillNotStop { .. } => Kind::Timeout,
            Self::NoForward { .. } => Kind::NotFound,
            other => other.inner().map_or(Kind::Failed, Diagnostic::kind),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Stopped { name } => vec![format!("`ai-vm start {name}`")],
            Self::Running { name } => {
                vec![format!("stop it first: `ai-vm stop {name}`, or add `--force` to kill it")]
            }
            Self::NotAnew { name } => vec![format!("stop it first: `ai-vm stop {name}`")],
            Self::Busy { .. } => vec!["try again in a moment".to_owned()],
            Self::DiskMissing { name, .. } => vec![
                "put the file back".to_owned(),
                format!("or begin with an empty disk: `ai-vm start {name} --new-disk`"),
            ],
            Self::Died { name, .. } | Self::Crashed { name, .. } => {
                vec![format!(
                    "`ai-vm logs {name}` shows the console, `ai-vm logs --qemu {name}` what QEMU said"
                )]
            }
            Self::Halted { name, .. } => {
                vec![format!("end it with `ai-vm stop --force {name}`, then start it again")]
            }
            Self::NotReady { name, .. } => vec![
                format!("it goes on booting; wait longer: `ai-vm wait {name} --timeout 10m`"),
                format!("see what it is doing: `ai-vm logs {name}`"),
            ],
            Self::NotHeld { name, .. } => {
                vec![format!("look what it does: `ai-vm shell {name}`, or wait longer: `--timeout 10m`")]
            }
            Self::Adopted { name } => vec![
                "start and stop it where it is run".to_owned(),
                format!("or forget it, which leaves it as it is: `ai-vm rm {name}`"),
            ],
            Self::Unreachable { name, error } => match error.as_ref() {
                ConnectError::WrongServer { .. } => vec![format!(
                    "if it was set up anew, look up its key there, then: `ai-vm rm {name}` and adopt it again"
                )],
                ConnectError::Silent { .. } | ConnectError::Timeout { .. } | ConnectError::Broken { .. } => {
                    vec![format!("`ai-vm wait {name}` waits until it answers")]
                }
                other => other.hints(),
            },
            Self::NotReached { last, .. } if matches!(**last, ConnectError::Refused { .. }) => last.hints(),
            Self::NotReached { name, .. } => {
                vec![format!("wait longer: `ai-vm wait {name} --timeout 10m`")]
            }
            Self::NotAdopted { error, .. } => {
                let mut hints = match error.as_ref() {
                    ConnectError::WrongServer { .. } => Vec::new(),
                    other => other.hints(),
                };
                hints.push("adopt it all the same: add `--no-check`".to_owned());
                hints
            }
            Self::NoSshPort { name } => {
                vec![format!("its record lacks a forward to guest port 22: `ai-vm info {name}`")]
            }
            Self::NoForward { name, .. } => vec![format!("`ai-vm port ls {name}` shows those that it has")],
            other => other.inner().map(Diagnostic::hints).unwrap_or_default(),
        }
    }
}

//! By what means QEMU can run a guest's processors here: decided by what really works, remembered until the
//! machine, QEMU or the kernel changes.
//!
//! `/dev/kvm` can be there, open without an error, and still not run a guest (in a nested machine, for instance):
//! QEMU then hangs or stops in the state `internal-error`. So a trial is made: the firmware, the first code that
//! every guest runs, has to say its first line.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::diagnostic::{Diagnostic, Kind};
use crate::host::files::{self, FileError};
use crate::host::layout::Layout;
use crate::host::lock::{self, LockError};
use crate::host::process;
use crate::vm::spec::AcceleratorChoice;

/// How long the firmware may take to say its first line under KVM. It takes some 50 ms where KVM works.
const TRIAL: Duration = Duration::from_secs(3);

/// How long to wait for another ai-vm that is making the same trial.
const PATIENCE: Duration = Duration::from_secs(20);

/// The largest verdict that is read, in bytes.
const MAX_BYTES: u64 = 16 * 1024;

/// What runs a guest's processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accelerator {
    /// The host's own processors, by the kernel.
    Kvm,
    /// Emulation.
    Tcg,
}

impl Accelerator {
    /// Returns QEMU's name for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }

    /// Returns the options that choose it.
    pub fn options(self) -> Vec<(&'static str, String)> {
        match self {
            Self::Kvm => vec![("-accel", "kvm".into()), ("-cpu", "host".into())],
            Self::Tcg => vec![("-accel", "tcg,thread=multi".into()), ("-cpu", "max".into())],
        }
    }
}

/// Which accelerator to use, and what there is to say about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The accelerator.
    pub accel: Accelerator,
    /// Why guests are emulated, where that is not what was asked for.
    pub reason: Option<String>,
}

/// A verdict and what it holds for.
#[derive(Debug, Serialize, Deserialize)]
struct Remembered {
    host_boot: String,
    kernel: String,
    qemu: String,
    verdict: Verdict,
}

/// Why no verdict could be had.
#[derive(Debug, thiserror::Error)]
pub enum VerdictError {
    /// Another ai-vm took too long over the trial.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The verdict cannot be written down.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Diagnostic for VerdictError {
    fn kind(&self) -> Kind {
        match self {
            Self::Lock(error) => error.kind(),
            Self::File(error) => error.kind(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Lock(error) => error.hints(),
            Self::File(error) => error.hints(),
        }
    }
}

/// Decides. A choice of the user's is used as it is; `auto` costs one trial of at most 3 s for each start of this
/// machine, of QEMU and of the kernel, of which `trying` is told. Blocks.
pub fn decide(
    layout: &Layout,
    qemu: &Path,
    choice: AcceleratorChoice,
    trying: impl FnOnce(),
) -> Result<Verdict, VerdictError> {
    match choice {
        AcceleratorChoice::Kvm => return Ok(Verdict { accel: Accelerator::Kvm, reason: None }),
        AcceleratorChoice::Tcg => return Ok(Verdict { accel: Accelerator::Tcg, reason: None }),
        AcceleratorChoice::Auto => {}
    }
    let file = layout.accelerator_verdict();
    let today = Remembered {
        host_boot: read("/proc/sys/kernel/random/boot_id"),
        kernel: read("/proc/sys/kernel/osrelease"),
        qemu: identity(qemu),
        verdict: Verdict { accel: Accelerator::Tcg, reason: None },
    };
    if let Some(verdict) = remembered(&file, &today) {
        return Ok(verdict);
    }
    trying();
    // Many starts at once make one trial.
    let _lock = lock::exclusive(&file.with_extension("lock"), PATIENCE)?;
    if let Some(verdict) = remembered(&file, &today) {
        return Ok(verdict);
    }
    let verdict = match kvm_problem(qemu) {
        None => Verdict { accel: Accelerator::Kvm, reason: None },
        Some(reason) => Verdict { accel: Accelerator::Tcg, reason: Some(reason) },
    };
    let found = Remembered { verdict: verdict.clone(), ..today };
    files::replace(&file, serde_json::to_string(&found).unwrap_or_default().as_bytes())?;
    Ok(verdict)
}

/// Forgets that KVM did not work, so that it is tried anew: the user may be in the group `kvm` by now.
pub fn try_again(layout: &Layout) -> Result<(), FileError> {
    let file = layout.accelerator_verdict();
    let content = files::read_bounded(&file, MAX_BYTES).unwrap_or_default();
    match serde_json::from_slice::<Remembered>(&content) {
        Ok(found) if found.verdict.accel == Accelerator::Kvm => Ok(()),
        _ => files::remove_if_there(&file),
    }
}

fn remembered(file: &Path, today: &Remembered) -> Option<Verdict> {
    let content = files::read_bounded(file, MAX_BYTES).ok()?;
    let found: Remembered = serde_json::from_slice(&content).ok()?;
    let holds =
        found.host_boot == today.host_boot && found.kernel == today.kernel && found.qemu == today.qemu;
    holds.then_some(found.verdict)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// Tells one QEMU from another without running it.
fn identity(qemu: &Path) -> String {
    use std::os::unix::fs::MetadataExt;
    let found = std::fs::metadata(qemu);
    let facts = found.map(|found| format!("{}:{}.{}", found.len(), found.mtime(), found.mtime_nsec()));
    format!("{}:{}", qemu.display(), facts.unwrap_or_default())
}

/// Returns why KVM cannot be used; `None` where it can.
fn kvm_problem(qemu: &Path) -> Option<String> {
    let device = Path::new("/dev/kvm");
    if !device.exists() {
        return Some("this machine has no /dev/kvm".to_owned());
    }
    if let Err(error) = std::fs::OpenOptions::new().read(true).write(true).open(device) {
        return Some(format!("/dev/kvm cannot be opened: {error}"));
    }
    let mut trial = Command::new(qemu);
    trial.args(["-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35", "-m", "64"]);
    trial.args(["-accel", "kvm", "-cpu", "host"]);
    // Where SeaBIOS writes what it does.
    trial.args(["-chardev", "stdio,id=firmware", "-device", "isa-debugcon,iobase=0x402,chardev=firmware"]);
    process::first_output(&mut trial, TRIAL)
        .err()
        .map(|error| format!("a trial guest did not run under KVM: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_remembered_for_this_boot_and_this_qemu() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("v");
        let kvm = Verdict { accel: Accelerator::Kvm, reason: None };
        let make = |boot: &str, qemu: &str| Remembered {
            host_boot: boot.into(),
            kernel: "k".into(),
            qemu: qemu.into(),
            verdict: kvm.clone(),
        };
        std::fs::write(&file, serde_json::to_vec(&make("b", "q")).unwrap()).unwrap();
        assert_eq!(remembered(&file, &make("b", "q")), Some(kvm.clone()));
        assert_eq!(remembered(&file, &make("other", "q")), None);
        assert_eq!(remembered(&file, &make("b", "other")), None);
        std::fs::write(&file, "{").unwrap();
        assert_eq!(remembered(&file, &make("b", "q")), None);
    }

    #[test]
    fn what_the_user_asks_for_is_not_tried() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        for (choice, accel) in
            [(AcceleratorChoice::Kvm, Accelerator::Kvm), (AcceleratorChoice::Tcg, Accelerator::Tcg)]
        {
            let verdict = decide(&layout, Path::new("/nonexistent"), choice, || {}).unwrap();
            assert_eq!(verdict, Verdict { accel, reason: None });
        }
    }
}

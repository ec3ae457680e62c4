//! Which system a VM boots: its image's own, or one that was rebuilt in the guest and recorded. One that was recorded is
//! tried once; if the guest was not seen ready with it, the next start boots the one before.

use crate::guest::recorded::{self, NotRecorded, Recorded};
use crate::host::files;
use crate::host::layout::{Layout, VmDir};
use crate::host::staging::Staging;
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::event::{Event, Listener};
use crate::lifecycle::run::Run;
use crate::qemu::args::DirectBoot;

/// Says that the system that was recorded last has been booted.
const TRIED: &str = "tried";

/// A recorded system that is to be booted.
#[derive(Clone, Debug)]
pub struct Choice {
    /// Its identifier.
    pub id: String,
    /// What QEMU boots, with paths as seen from the VM's directory.
    pub boot: DirectBoot,
}

/// Decides what a VM boots now; `None` for its image's own system, which `base` asks for. The caller holds the run lock,
/// and what is known of the last launch is still there.
pub fn choose(
    layout: &Layout,
    dir: &VmDir,
    base: bool,
    listener: &Listener,
) -> Result<Option<Choice>, LifecycleError> {
    recorded::ensure_disk(&dir.file(VmDir::BOOT_DISK))?;
    prove(layout, dir)?;
    if let Err(reason) = take_new(layout, dir)? {
        listener(Event::Warning(reason));
    }
    if base {
        return Ok(None);
    }
    let good = recorded::open(&dir.file(VmDir::RECORDED_GOOD));
    let Some(next) = recorded::open(&dir.file(VmDir::RECORDED_NEXT)) else {
        return Ok(good.map(|good| choice(good, VmDir::RECORDED_GOOD)));
    };
    let tried = dir.file(VmDir::RECORDED_NEXT).join(TRIED);
    if tried.exists() {
        let instead = if good.is_some() { "the one before" } else { "the image's own" };
        listener(Event::Warning(format!(
            "the system that was rebuilt in the guest did not come up, so {instead} is booted"
        )));
        return Ok(good.map(|good| choice(good, VmDir::RECORDED_GOOD)));
    }
    files::replace(&tried, b"")?;
    Ok(Some(choice(next, VmDir::RECORDED_NEXT)))
}

/// Forgets everything that was recorded: the image's own system is to be booted from now on. The VM is stopped.
pub fn forget(layout: &Layout, dir: &VmDir) -> Result<(), LifecycleError> {
    recorded::forget(&dir.file(VmDir::BOOT_DISK))?;
    drop_tree(layout, dir, VmDir::RECORDED)
}

fn choice(recorded: Recorded, at: &str) -> Choice {
    let file = |name: &str| format!("{at}/{name}");
    let boot = DirectBoot {
        kernel: file(recorded::KERNEL),
        initrd: file(recorded::INITRD),
        cmdline: recorded.description.cmdline,
    };
    Choice { id: recorded.id, boot }
}

/// Makes the system that was booted last the good one, if the guest was seen ready with it.
fn prove(layout: &Layout, dir: &VmDir) -> Result<(), LifecycleError> {
    let Some(next) = recorded::open(&dir.file(VmDir::RECORDED_NEXT)) else { return Ok(()) };
    let was_ready =
        Run::read(dir).is_some_and(|run| run.recorded.as_ref() == Some(&next.id) && run.is_ready(dir));
    if was_ready {
        drop_tree(layout, dir, VmDir::RECORDED_GOOD)?;
        let (from, to) = (dir.file(VmDir::RECORDED_NEXT), dir.file(VmDir::RECORDED_GOOD));
        std::fs::rename(&from, &to).map_err(files::failed("keep", &from))?;
        files::sync_dir(&dir.file(VmDir::RECORDED))?;
    }
    Ok(())
}

/// Takes what has been recorded since the last start. The inner error says why that could not be used.
fn take_new(layout: &Layout, dir: &VmDir) -> Result<Result<(), String>, LifecycleError> {
    let disk = dir.file(VmDir::BOOT_DISK);
    let unusable = |error: NotRecorded| match error {
        NotRecorded::Nothing => Ok(Ok(())),
        NotRecorded::Unusable(_) => Ok(Err(error.to_string())),
        NotRecorded::File(error) => Err(error.into()),
    };
    let new = match recorded::peek(&disk) {
        Ok(new) => new,
        Err(error) => return unusable(error),
    };
    let is_at = |at: &str| recorded::open(&dir.file(at)).is_some_and(|known| known.id == new.id);
    if is_at(VmDir::RECORDED_GOOD) {
        // Somebody has gone back to it.
        drop_tree(layout, dir, VmDir::RECORDED_NEXT)?;
        return Ok(Ok(()));
    }
    if is_at(VmDir::RECORDED_NEXT) {
        return Ok(Ok(()));
    }
    let staged = Staging::enter(layout)?.new_dir()?;
    if let Err(error) = recorded::take(&disk, staged.path()) {
        return unusable(error);
    }
    files::create_private_dir(&dir.file(VmDir::RECORDED))?;
    drop_tree(layout, dir, VmDir::RECORDED_NEXT)?;
    staged.place(&dir.file(VmDir::RECORDED_NEXT))?;
    Ok(Ok(()))
}

/// Removes a directory of the VM, which is there whole or not at all.
fn drop_tree(layout: &Layout, dir: &VmDir, at: &str) -> Result<(), LifecycleError> {
    let path = dir.file(at);
    if path.exists() {
        drop(Staging::enter(layout)?.take(&path)?);
    }
    Ok(())
}

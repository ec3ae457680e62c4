//! Removes a VM and everything of it.

use std::time::Duration;

use crate::host::layout::VmDir;
use crate::host::lock;
use crate::lifecycle::Engine;
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::event::Listener;
use crate::lifecycle::folder;
use crate::lifecycle::stop::stop;
use crate::vm::name::VmName;

/// Removes a VM. One that runs is refused, or killed first with `force`. Needs no record that can be read. A machine that
/// something else runs is only forgotten.
pub async fn remove(
    engine: &Engine,
    name: &VmName,
    force: bool,
    listener: &Listener,
) -> Result<(), LifecycleError> {
    let dir = engine.registry.dir(name);
    if !dir.path().exists() {
        return Err(engine.registry.not_found(name).into());
    }
    let adopted = engine.registry.get(name).is_ok_and(|record| record.guest.is_adopted());
    if force && !adopted {
        stop(engine, name, Duration::ZERO, true, listener).await?;
    }
    // Held until the directory is gone, so that nobody starts what is being removed.
    let Some(_run_lock) = lock::try_exclusive(&dir.file(VmDir::RUN_LOCK))? else {
        return Err(LifecycleError::Running { name: name.clone() });
    };
    let engine = engine.clone();
    let name = name.clone();
    // Deleting a large disk takes a while.
    tokio::task::spawn_blocking(move || {
        // First what lies elsewhere, which nobody would find when the VM is gone.
        folder::clear(&engine.registry.dir(&name), &name, engine.registry.get(&name))?;
        let removed = engine.registry.remove(&name)?;
        drop(removed);
        Ok::<_, LifecycleError>(())
    })
    .await??;
    Ok(())
}

//! Ends a VM: by its power button, then by QEMU, then by the kernel. Needs no record, so a broken VM can be stopped.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::host::layout::VmDir;
use crate::host::{detached, files, lock};
use crate::lifecycle::Engine;
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::event::{Event, Listener};
use crate::qemu::{launch, qmp};
use crate::vm::name::VmName;
use crate::vm::state::Answer;

/// How often the power button is pressed: a guest that was still booting has not felt it.
const PRESS: Duration = Duration::from_secs(2);

/// How long QEMU may take to quit.
const QUIT: Duration = Duration::from_secs(3);

/// How long the kernel may take to end a killed process.
const KILL: Duration = Duration::from_secs(10);

/// Stops a VM. The guest has `grace` to power itself off, none at all with `force`. A stopped VM stays so.
pub async fn stop(
    engine: &Engine,
    name: &VmName,
    grace: Duration,
    force: bool,
    listener: &Listener,
) -> Result<(), LifecycleError> {
    let start = Instant::now();
    let dir = engine.registry.dir(name);
    if !dir.path().exists() {
        return Err(engine.registry.not_found(name).into());
    }
    refuse_adopted(engine, name)?;
    if !is_alive(&dir)? {
        return Ok(());
    }
    if !force {
        listener(Event::Step("powering off".to_owned()));
        if power_off(&dir, start + grace).await? {
            return finish(&dir);
        }
        listener(Event::Warning(format!("it did not power off within {} s", start.elapsed().as_secs())));
    }
    listener(Event::Step("ending QEMU".to_owned()));
    // What it answers does not matter: the lock tells.
    let _ = qmp::execute(&dir, "quit").await;
    if is_gone_by(&dir, Instant::now() + QUIT).await? {
        return finish(&dir);
    }
    launch::end(&dir);
    if is_gone_by(&dir, Instant::now() + KILL).await? {
        return finish(&dir);
    }
    if detached::find_by_stdin(&dir.file(VmDir::RUN_LOCK)).is_none() {
        let holder = lock::holder(&dir.file(VmDir::RUN_LOCK));
        return Err(LifecycleError::Busy { name: name.clone(), holder });
    }
    Err(LifecycleError::WillNotStop { name: name.clone(), waited: start.elapsed() })
}

/// Waits until a VM is stopped by itself or by somebody else.
pub async fn wait_until_stopped(
    engine: &Engine,
    name: &VmName,
    limit: Duration,
) -> Result<(), LifecycleError> {
    if engine.registry.entry(name.clone()).is_none() {
        return Err(engine.registry.not_found(name).into());
    }
    refuse_adopted(engine, name)?;
    if is_gone_by(&engine.registry.dir(name), Instant::now() + limit).await? {
        return Ok(());
    }
    Err(LifecycleError::StillRuns { name: name.clone(), waited: limit })
}

/// What something else runs is not stopped here, nor is it known when it has stopped.
fn refuse_adopted(engine: &Engine, name: &VmName) -> Result<(), LifecycleError> {
    match engine.registry.get(name) {
        Ok(record) if record.guest.is_adopted() => Err(LifecycleError::Adopted { name: name.clone() }),
        _ => Ok(()),
    }
}

/// Presses the power button until the VM is gone; false at the deadline, or as soon as it cannot work.
async fn power_off(dir: &VmDir, deadline: Instant) -> Result<bool, LifecycleError> {
    while Instant::now() < deadline {
        match qmp::status(dir).await {
            Answer::Running => {
                // A refusal shows in that nothing happens.
                let _ = qmp::execute(dir, "system_powerdown").await;
            }
            // It is being launched.
            Answer::Absent => {}
            // A guest that does not run cannot power itself off.
            Answer::Paused | Answer::Silent | Answer::Failed(_) => {
                return is_gone_by(dir, Instant::now()).await;
            }
        }
        if is_gone_by(dir, deadline.min(Instant::now() + PRESS)).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn is_gone_by(dir: &VmDir, deadline: Instant) -> Result<bool, LifecycleError> {
    loop {
        if !is_alive(dir)? {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        sleep(Duration::from_millis(10)).await;
    }
}

fn is_alive(dir: &VmDir) -> Result<bool, LifecycleError> {
    Ok(lock::is_held(&dir.file(VmDir::RUN_LOCK))?)
}

/// Takes away what belongs to a run. Somebody may have started the VM again meanwhile: then it is theirs.
fn finish(dir: &VmDir) -> Result<(), LifecycleError> {
    if let Some(_alone) = lock::try_exclusive(&dir.file(VmDir::RUN_LOCK))? {
        for file in [VmDir::QMP_SOCKET, VmDir::CONSOLE_SOCKET, VmDir::READY, VmDir::RUN] {
            files::remove_if_there(&dir.file(file))?;
        }
    }
    Ok(())
}

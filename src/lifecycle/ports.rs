//! Forwards of a VM after it was made: looked at, added, taken away, whether it runs or not.
//!
//! The record and QEMU are changed one after the other, in the order in which a command that is killed in between leaves
//! a port that is reserved and that nobody listens on, never a listener that no record knows. The same command again
//! completes, and so does the next start.

use std::net::IpAddr;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::host::layout::VmDir;
use crate::host::listeners::Listeners;
use crate::host::{detached, lock};
use crate::lifecycle::Engine;
use crate::lifecycle::error::LifecycleError;
use crate::qemu::hostfwd;
use crate::qemu::qmp::{self, QmpError};
use crate::registry::ports::{Machine, ReserveError, extend, reassign};
use crate::registry::record::Record;
use crate::vm::name::VmName;
use crate::vm::port::{Forward, ForwardRequest, Port};
use crate::vm::state::Answer;

/// How long a launch that is under way may take until QEMU answers; longer ones make an image first.
const LAUNCH: Duration = Duration::from_secs(10);

/// What is seen of a forward on the host at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortState {
    /// The VM's QEMU listens.
    Listening,
    /// Nobody listens.
    Free,
    /// Somebody else does: who, for people.
    Taken(String),
}

/// Says for each forward of a VM what is seen of it, in the order of the record.
pub fn look(engine: &Engine, record: &Record, listeners: &Listeners) -> Vec<(Forward, PortState)> {
    let qemu = pid(&engine.registry.dir(&record.name));
    let state = |forward: &Forward| {
        if qemu.is_some_and(|pid| listeners.has(pid, forward.bind, forward.host)) {
            return PortState::Listening;
        }
        listeners.holder(forward.bind, forward.host).map_or(PortState::Free, PortState::Taken)
    };
    record.forwards.iter().map(|forward| (forward.clone(), state(forward))).collect()
}

/// Gives a VM further forwards and returns those that meet what was asked for. What it has already stays as it is. If
/// one cannot be had, the VM has none of the new ones.
pub async fn add(
    engine: &Engine,
    name: &VmName,
    wanted: &[ForwardRequest],
    bind: IpAddr,
) -> Result<Vec<Forward>, LifecycleError> {
    let mut new = Vec::new();
    let record = engine.registry.update(name, |record, others| {
        if record.guest.is_adopted() {
            return Err(LifecycleError::Adopted { name: name.clone() });
        }
        let mut reserved = others.clone();
        reserved.extend(record.ports().map(|port| (port, name.clone())));
        new = extend(&record.forwards, wanted, bind, &reserved, &Machine)?;
        record.forwards.extend(new.iter().cloned());
        Ok::<_, LifecycleError>(())
    })?;
    let meets = |forward: &Forward| wanted.iter().any(|wanted| wanted.is_met_by(forward, bind));
    let asked: Vec<Forward> = record.forwards.into_iter().filter(meets).collect();
    let dir = engine.registry.dir(name);
    if let Err(error) = open(&dir, name, &asked).await {
        // What matters is why it failed; what QEMU may still have open of the new ones is closed as far as it goes.
        let _ = close(&dir, name, &new).await;
        forget(engine, name, &new)?;
        return Err(error);
    }
    Ok(asked)
}

/// Takes forwards away from a VM, by their host ports, and returns them. All or none.
pub async fn remove(engine: &Engine, name: &VmName, hosts: &[Port]) -> Result<Vec<Forward>, LifecycleError> {
    let record = engine.registry.get(name)?;
    let mut gone: Vec<Forward> = Vec::new();
    for host in hosts.iter().copied() {
        let Some(forward) = record.forwards.iter().find(|forward| forward.host == host) else {
            return Err(LifecycleError::NoForward { name: name.clone(), host });
        };
        if record.ssh() == Some(forward) {
            return Err(LifecycleError::SshForward { name: name.clone(), host });
        }
        if !gone.contains(forward) {
            gone.push(forward.clone());
        }
    }
    let dir = engine.registry.dir(name);
    let removed = match close(&dir, name, &gone).await {
        Ok(()) => forget(engine, name, &gone),
        Err(error) => Err(error),
    };
    if let Err(error) = removed {
        // Back to how it was, as far as that goes.
        let _ = open(&dir, name, &gone).await;
        return Err(error);
    }
    // A start that had read the record before it was changed.
    close(&dir, name, &gone).await?;
    Ok(gone)
}

/// Gives a VM that is not alive other host ports in place of those that ai-vm chose and that something else has taken
/// since. Those that the user asked for by number stay.
pub fn move_taken(engine: &Engine, name: &VmName) -> Result<(), LifecycleError> {
    // A launch that is under way moves them itself.
    if let Some(_stopped) = lock::try_exclusive(&engine.registry.dir(name).file(VmDir::RUN_LOCK))? {
        engine.registry.update(name, |record, others| {
            let screen: Vec<Port> = record.screen_port().into_iter().collect();
            reassign(&mut record.forwards, others, &screen, &Machine)?;
            Ok::<_, LifecycleError>(())
        })?;
    }
    Ok(())
}

fn forget(engine: &Engine, name: &VmName, forwards: &[Forward]) -> Result<(), LifecycleError> {
    engine.registry.update(name, |record, _| {
        record.forwards.retain(|forward| !forwards.contains(forward));
        Ok::<_, LifecycleError>(())
    })?;
    Ok(())
}

/// Lets a running QEMU listen for forwards; a VM that is stopped gets them when it is started.
async fn open(dir: &VmDir, name: &VmName, forwards: &[Forward]) -> Result<(), LifecycleError> {
    if !is_up(dir, name).await? {
        return Ok(());
    }
    for forward in forwards.iter().filter(|forward| !is_open(dir, forward)) {
        match hostfwd::add(dir, forward).await {
            Ok(()) => {}
            // It was launched with it a moment ago.
            Err(QmpError::Refused { .. }) if is_open(dir, forward) => {}
            Err(error @ QmpError::Refused { .. }) => {
                let port = forward.host;
                let holder = Listeners::now().holder(forward.bind, port);
                return Err(
                    holder.map_or_else(|| error.into(), |holder| ReserveError::Taken { port, holder }.into())
                );
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Lets a running QEMU no longer listen for forwards.
async fn close(dir: &VmDir, name: &VmName, forwards: &[Forward]) -> Result<(), LifecycleError> {
    if !is_up(dir, name).await? {
        return Ok(());
    }
    for forward in forwards.iter().filter(|forward| is_open(dir, forward)) {
        hostfwd::remove(dir, forward).await?;
    }
    Ok(())
}

/// Tells whether QEMU runs. While it is being launched it cannot be told anything: that is waited for.
async fn is_up(dir: &VmDir, name: &VmName) -> Result<bool, LifecycleError> {
    let deadline = Instant::now() + LAUNCH;
    let run_lock = dir.file(VmDir::RUN_LOCK);
    while lock::is_held(&run_lock)? {
        if qmp::status(dir).await != Answer::Absent {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Err(LifecycleError::Busy { name: name.clone(), holder: lock::holder(&run_lock) });
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok(false)
}

fn is_open(dir: &VmDir, forward: &Forward) -> bool {
    pid(dir).is_some_and(|pid| Listeners::now().has(pid, forward.bind, forward.host))
}

/// Returns the number of a VM's QEMU, if it runs.
fn pid(dir: &VmDir) -> Option<u32> {
    let run_lock = dir.file(VmDir::RUN_LOCK);
    lock::is_held(&run_lock).ok()?.then(|| detached::find_by_stdin(&run_lock))?.map(|process| process.pid)
}

//! The image that a VM's disk lies over, and which VMs lie over an image.

use std::sync::LazyLock;

use crate::guest::error::ImageError;
use crate::guest::store::{self, Held};
use crate::guest::{debian, import};
use crate::lifecycle::Engine;
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::event::{Event, Listener};
use crate::registry::record::Record;
use crate::vm::name::VmName;
use crate::vm::spec::Guest;

/// Returns the image for a VM and keeps it from being removed; makes it if need be. Blocks, for a minute or more
/// the first time.
///
/// A VM that has been started before keeps the image that its disk was made over.
pub fn for_vm(engine: &Engine, record: &Record, listener: &Listener) -> Result<Held, LifecycleError> {
    match &record.base {
        Some(id) => Ok(store::hold(engine.registry.layout(), id)?),
        None => ensure(engine, &record.guest, listener),
    }
}

/// Returns the image of a guest, made if need be. Blocks.
pub fn ensure(engine: &Engine, guest: &Guest, listener: &Listener) -> Result<Held, LifecycleError> {
    let layout = engine.registry.layout();
    let say = |step: &str| listener(Event::Step(format!("making the image: {step}")));
    let waiting = |holder| listener(Event::Step(format!("waiting for {holder}, which is making the image")));
    let held = match guest {
        Guest::Adopted(_) => return Err(LifecycleError::NoImage),
        Guest::Debian => {
            let options = debian::Options { mirror: engine.mirror.clone() };
            store::ensure(layout, &debian::image_id(), waiting, |dir| debian::build(dir, &options, say))?
        }
        Guest::Image { source, sha256 } => {
            let sha256 = sha256.as_deref();
            let id = import::image_id(layout, source, sha256)?;
            store::ensure(layout, &id, waiting, |dir| import::import(dir, source, sha256, say))?
        }
    };
    Ok(held)
}

/// Tells whether a VM's disk lies over another image than the one that would be made for it now; `None` where there is no
/// telling, because it has no disk yet or its image is not ai-vm's to make.
pub fn is_outdated(record: &Record) -> Option<bool> {
    static PRESENT: LazyLock<String> = LazyLock::new(debian::image_id);
    match (&record.guest, &record.base) {
        (Guest::Debian, Some(base)) => Some(*base != *PRESENT),
        _ => None,
    }
}

/// Returns the VMs whose disks lie over an image.
pub fn users(engine: &Engine, id: &str) -> Result<Vec<VmName>, LifecycleError> {
    let uses = |record: &Record| record.base.as_deref() == Some(id);
    let entries = engine.registry.list()?.into_iter();
    // A broken record may name any image: nobody knows that it does not.
    Ok(entries.filter(|entry| entry.record.as_ref().map_or(true, uses)).map(|entry| entry.name).collect())
}

/// Removes an image that no VM's disk lies over.
pub fn remove(engine: &Engine, id: &str) -> Result<(), LifecycleError> {
    let users = users(engine, id)?;
    if !users.is_empty() {
        let vms = users.iter().map(VmName::as_str).collect::<Vec<_>>().join(", ");
        return Err(ImageError::InUse { id: id.to_owned(), vms }.into());
    }
    Ok(store::remove(engine.registry.layout(), id)?)
}

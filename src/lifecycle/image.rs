//! The images that a VM needs, and which VMs need an image.

use std::time::Duration;

use crate::guest::credentials::guest_uid;
use crate::guest::error::ImageError;
use crate::guest::import::Teller;
use crate::guest::nixos::{Features, flake};
use crate::guest::store::{self, Held, Image};
use crate::guest::{debian, import, nixos};
use crate::host::{files, lock};
use crate::lifecycle::Engine;
use crate::lifecycle::durations::Course;
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::event::{Event, Listener};
use crate::lifecycle::recorded;
use crate::registry::error::RegistryError;
use crate::registry::record::Record;
use crate::vm::guest::{Guest, Nixos};
use crate::vm::name::VmName;
use crate::vm::spec::UserName;

/// What a VM needs to be started, none of which can be removed while this value lives.
#[derive(Debug)]
pub struct Images {
    /// Under its disk.
    pub disk: Held,
    /// What it boots, where that is another one.
    pub system: Option<Held>,
}

impl Images {
    /// Returns the image that is booted.
    pub fn system(&self) -> &Image {
        self.system.as_ref().map_or(&self.disk.image, |held| &held.image)
    }
}

/// Returns the images for a VM, made if need be. Blocks, for a minute or more the first time.
///
/// A VM that has been started before keeps the image that its disk was made over, and what it boots.
pub fn for_vm(engine: &Engine, record: &Record, listener: &Listener) -> Result<Images, LifecycleError> {
    let layout = engine.registry.layout();
    let system = match (&record.guest, record.systems.last()) {
        (Guest::Nixos(_), Some(id)) => Some(store::hold(layout, id)?),
        (Guest::Nixos(nixos), None) => {
            Some(nixos_system(engine, nixos, &record.user, features(record), listener)?)
        }
        _ => None,
    };
    let disk = match &record.base {
        Some(id) => store::hold(layout, id)?,
        None => ensure(engine, &record.guest, record.desktop.is_some(), listener)?,
    };
    Ok(Images { disk, system })
}

/// Returns the image under the disks of a guest, made if need be; with `desktop` that of a guest that shows one, where
/// there are images with and without. Blocks.
pub fn ensure(
    engine: &Engine,
    guest: &Guest,
    desktop: bool,
    listener: &Listener,
) -> Result<Held, LifecycleError> {
    let layout = engine.registry.layout();
    let say = |step: &str| listener(Event::Step(format!("making the image: {step}")));
    let waiting = |holder| listener(Event::Step(format!("waiting for {holder}, which is making the image")));
    let held = match guest {
        Guest::Adopted(_) => return Err(LifecycleError::NoImage),
        Guest::Debian => {
            let options = debian::Options { mirror: engine.mirror.clone() };
            let variant = debian::Variant::of(desktop);
            let id = debian::image_id(variant);
            store::ensure(layout, &id, waiting, |dir| {
                let mut course = Course::begin(layout, format!("image {}", variant.prefix()));
                let made = debian::build(dir, variant, &options, |step| {
                    say(step);
                    let left = course.enter(step, Duration::ZERO);
                    left.into_iter().for_each(|left| listener(Event::Estimate(left)));
                })?;
                course.finish();
                Ok(made)
            })?
        }
        Guest::Image { source, sha256 } => {
            let sha256 = sha256.as_deref();
            let id = import::image_id(layout, source, sha256, listener)?;
            store::ensure(layout, &id, waiting, |dir| import::import(dir, source, sha256, listener))?
        }
        Guest::Nixos(_) => store::ensure(layout, nixos::disk::IMAGE, waiting, nixos::disk::make)?,
    };
    Ok(held)
}

/// Tells whether a VM that is to have a desktop has none, because its disk was made before there was one.
pub fn lacks_desktop(record: &Record, images: &Images) -> bool {
    let is_wanted = record.guest == Guest::Debian && record.desktop.is_some();
    is_wanted && !images.disk.image.manifest.desktop
}

impl Teller for Listener {
    fn step(&self, step: &str) {
        self(Event::Step(format!("making the image: {step}")));
    }

    fn bytes(&self, done: u64, total: Option<u64>) {
        self(Event::Bytes { done, total });
    }
}

/// Returns what the system of a VM is to have.
fn features(record: &Record) -> Features {
    let desktop = record.desktop.map(|desktop| desktop.resolution);
    Features { overlay: record.overlay, audio: record.audio, desktop }
}

/// Builds the system of a NixOS guest, which takes seconds where Nix finds that nothing has changed. Blocks.
pub fn nixos_system(
    engine: &Engine,
    guest: &Nixos,
    user: &UserName,
    features: Features,
    listener: &Listener,
) -> Result<Held, LifecycleError> {
    let layout = engine.registry.layout();
    let flake = flake::find(&flake::Said { for_vm: guest.flake.clone(), ..engine.flake.clone() }, layout)?;
    let wanted = nixos::Wanted {
        user: user.to_string(),
        uid: guest_uid(rustix::process::getuid().as_raw()),
        state_version: guest.state_version.clone(),
        features,
    };
    let path = layout.nixos_lock();
    let _alone = match lock::try_exclusive(&path)? {
        Some(alone) => alone,
        None => {
            let holder = lock::holder(&path);
            listener(Event::Step(format!("waiting for {holder}, which is building a system")));
            lock::exclusive(&path, nixos::LIMIT)?
        }
    };
    listener(Event::Step(format!("building the system: {}", flake.origin)));
    let say = |step: &str| listener(Event::Step(format!("building the system: {step}")));
    let (id, manifest) = nixos::build(layout, &flake, &wanted, say)?;
    Ok(store::ensure(layout, &id, |_| {}, |_| Ok(manifest))?)
}

/// Builds the system of a VM anew, to be booted at its next start instead of what it boots now, also of what was rebuilt
/// in the guest. Returns its image. Blocks.
pub fn rebuild(engine: &Engine, record: &Record, listener: &Listener) -> Result<Image, LifecycleError> {
    let Guest::Nixos(guest) = &record.guest else { return Err(LifecycleError::NoImage) };
    let held = nixos_system(engine, guest, &record.user, features(record), listener)?;
    if record.systems.last() != Some(&held.image.id) {
        if !record.systems.is_empty() {
            recorded::forget_at_start(&engine.registry.dir(&record.name))?;
        }
        engine.registry.update(&record.name, |record, _| {
            boot_from(record, &held.image);
            Ok::<_, RegistryError>(())
        })?;
    }
    Ok(held.image)
}

/// Writes down which system a VM boots, and which release its data follow, once and for all.
pub fn boot_from(record: &mut Record, system: &Image) {
    if record.systems.last() != Some(&system.id) {
        record.systems.push(system.id.clone());
    }
    if let (Guest::Nixos(nixos), Some(built)) = (&mut record.guest, &system.manifest.nixos) {
        nixos.state_version.get_or_insert_with(|| built.state_version.clone());
    }
}

/// Returns the VMs whose disks lie over an image, or that boot it.
pub fn users(engine: &Engine, id: &str) -> Result<Vec<VmName>, LifecycleError> {
    let uses = |record: &Record| record.base.iter().chain(&record.systems).any(|used| used == id);
    let entries = engine.registry.list()?.into_iter();
    // A broken record may name any image: nobody knows that it does not.
    Ok(entries.filter(|entry| entry.record.as_ref().map_or(true, uses)).map(|entry| entry.name).collect())
}

/// Removes an image that no VM uses.
pub fn remove(engine: &Engine, id: &str) -> Result<(), LifecycleError> {
    let users = users(engine, id)?;
    if !users.is_empty() {
        let vms = users.iter().map(VmName::as_str).collect::<Vec<_>>().join(", ");
        return Err(ImageError::InUse { id: id.to_owned(), vms }.into());
    }
    let layout = engine.registry.layout();
    store::remove(layout, id)?;
    // From now on Nix need not keep what it boots either.
    Ok(files::remove_if_there(&layout.gc_root(id))?)
}

//! Everything that has to be in place before QEMU is launched. Blocks.

use std::path::Path;
use std::time::Duration;

use crate::guest::credentials::{Identity as Given, guest_uid};
use crate::guest::manifest::{DirectBoot as Kernel, StoreSource};
use crate::guest::store::Image;
use crate::guest::{fstab, seed};
use crate::host::files::{self, FileError, failed};
use crate::host::layout::{Identity, VmDir};
use crate::host::lock;
use crate::lifecycle::Engine;
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::event::{Event, Listener};
use crate::lifecycle::folder;
use crate::lifecycle::image::{self, Images};
use crate::lifecycle::recorded::{self, Choice};
use crate::lifecycle::run::Run;
use crate::qemu::args::{DirectBoot, Store};
use crate::qemu::disk;
use crate::registry::error::RegistryError;
use crate::registry::ports::{Machine, Moved, Probe, ReserveError, reassign};
use crate::registry::record::Record;
use crate::vm::port::{Forward, Port};

/// The largest key file that is read, in bytes.
const MAX_KEY: u64 = 16 * 1024;

/// How long to wait for keys that are being changed: longer than that can take.
const KEYS: Duration = Duration::from_secs(300);

/// Sees to it that the VM has a disk over its image, and writes down over which, and what it boots. Returns the record.
/// With `clean` the disk is made anew.
///
/// A disk of a VM that has been started before is never made anew by itself: what was on it would be gone without a
/// word.
pub fn disk(engine: &Engine, record: Record, images: &Images, clean: bool) -> Result<Record, LifecycleError> {
    let Some(hardware) = record.hardware else {
        return Err(LifecycleError::Adopted { name: record.name });
    };
    let dir = engine.registry.dir(&record.name);
    let path = dir.file(VmDir::DISK);
    folder::check(&record)?;
    if record.base.is_some() && !clean {
        if path.exists() {
            return Ok(record);
        }
        let path = record.dir.as_ref().map_or(path, |dir| folder::disk(dir, &record.name));
        return Err(LifecycleError::DiskMissing { name: record.name, path: path.display().to_string() });
    }
    // What is on it is not wanted; or nothing has run from it, until the record names the image: then it was left by
    // a start that was killed.
    folder::delete_disk(&dir)?;
    let base = base(&images.disk.image)?;
    disk::create_overlay(&path, Path::new(&base), images.disk.image.manifest.format, hardware.disk)?;
    folder::place_disk(&dir, &record)?;
    Ok(engine.registry.update(&record.name, |record, _| {
        record.base = Some(images.disk.image.id.clone());
        // What needed the earlier ones was on the disk that is gone.
        record.systems.clear();
        if let Some(system) = &images.system {
            image::boot_from(record, &system.image);
        }
        Ok::<_, RegistryError>(())
    })?)
}

/// Returns the path of an image's disk as seen from a VM's directory.
pub fn base(image: &Image) -> Result<String, LifecycleError> {
    image.manifest.disk.as_ref().map(|disk| image.seen_from_vm(disk)).ok_or(LifecycleError::NoImage)
}

/// Returns what QEMU boots directly, with paths as seen from a VM's directory.
pub fn direct_boot(image: &Image) -> Option<DirectBoot> {
    image.manifest.boot.as_ref().map(|Kernel { kernel, initrd, cmdline }| DirectBoot {
        kernel: image.seen_from_vm(kernel),
        initrd: image.seen_from_vm(initrd),
        cmdline: cmdline.clone(),
    })
}

/// Tells whether guests of a system record what they are to boot.
pub fn records(system: &Image) -> bool {
    system.manifest.nixos.is_some()
}

/// Returns the recorded system that is to be booted; none for the image's own.
pub fn recorded(
    engine: &Engine,
    record: &Record,
    images: &Images,
    (clean, base): (bool, bool),
    listener: &Listener,
) -> Result<Option<Choice>, LifecycleError> {
    if !records(images.system()) {
        return Ok(None);
    }
    let (layout, dir) = (engine.registry.layout(), engine.registry.dir(&record.name));
    if clean {
        // It was on the disk that is gone.
        recorded::forget(layout, &dir)?;
    }
    recorded::choose(layout, &dir, base, listener)
}

/// Returns the store that the guest of a system gets from this machine.
pub fn store(image: &Image) -> Option<Store> {
    let system = image.manifest.nixos.as_ref()?;
    Some(match &system.store {
        StoreSource::Host => {
            let store = system.result.parent().unwrap_or(&system.result);
            Store::Directory(store.to_string_lossy().into_owned())
        }
        StoreSource::Image { path, format } => Store::Disk { path: path.clone(), format: *format },
    })
}

/// Moves the automatic host ports that something else has taken since they were chosen. One that the user asked for
/// by number is never moved: it is an error that names who has it.
///
/// `refused` are ports that QEMU itself could not open, whatever a test here says.
pub fn ports(
    engine: &Engine,
    record: Record,
    refused: &[Port],
    listener: &Listener,
) -> Result<Record, LifecycleError> {
    let usable = |bind, port| !refused.contains(&port) && Machine.is_free(bind, port);
    if record.forwards.iter().all(|forward| usable(forward.bind, forward.host)) {
        return Ok(record);
    }
    engine.registry.update(&record.name.clone(), |record, others| {
        let fixed =
            record.forwards.iter().find(|forward| !forward.auto && !usable(forward.bind, forward.host));
        if let Some(Forward { host, .. }) = fixed {
            return Err(ReserveError::Taken { port: *host, holder: Machine.holder(*host) }.into());
        }
        let screen = record.screen_port();
        let taken: Vec<Port> = refused.iter().copied().chain(screen).collect();
        for Moved { guest, from, to } in reassign(&mut record.forwards, others, &taken, &Machine)? {
            listener(Event::Moved { guest, from, to });
        }
        Ok::<_, LifecycleError>(())
    })
}

/// Reads the identity that the VM's guest is to have in a launch.
pub fn identity(dir: &VmDir, record: &Record, run: &Run) -> Result<Given, LifecycleError> {
    // Keys that are about to be changed are read when they have been.
    let _keys = lock::exclusive(&dir.file(VmDir::KEYS_LOCK), KEYS)?;
    let read = |file: &str| {
        let content = files::read_bounded(&dir.file(file), MAX_KEY)?;
        Ok::<_, FileError>(String::from_utf8_lossy(&content).into_owned())
    };
    Ok(Given {
        hostname: record.name.hostname(),
        machine_id: read(Identity::MACHINE_ID)?.trim().to_owned(),
        user: record.user.to_string(),
        uid: guest_uid(rustix::process::getuid().as_raw()),
        authorized_keys: read(Identity::LOGIN_PUBLIC_KEY)?,
        host_key: read(Identity::HOST_KEY)?,
        boot: run.boot.clone(),
        fstab: fstab::of(&run.shares),
    })
}

/// Writes the credentials for one launch and returns their paths as seen from the VM's directory.
pub fn credentials(dir: &VmDir, identity: &Given) -> Result<Vec<String>, FileError> {
    forget_credentials(dir)?;
    files::create_private_dir(&dir.file(VmDir::CREDENTIALS))?;
    let write = |(name, string): (String, String)| {
        let path = format!("{}/{name}", VmDir::CREDENTIALS);
        files::write_new(&dir.file(&path), string.as_bytes())?;
        Ok(path)
    };
    identity.smbios_strings().into_iter().map(write).collect()
}

/// Removes the credentials, which QEMU has read: the fewer copies of a key there are, the better.
pub fn forget_credentials(dir: &VmDir) -> Result<(), FileError> {
    files::remove_tree_if_there(&dir.file(VmDir::CREDENTIALS))
}

/// Makes the seed disk that a brought image sets itself up from; other images need none.
pub fn seed(
    dir: &VmDir,
    record: &Record,
    image: &Image,
    identity: &Given,
) -> Result<Option<&'static str>, FileError> {
    if image.manifest.boot.is_some() {
        return Ok(None);
    }
    let path = dir.file(VmDir::SEED);
    let content = seed::disk(identity, &record.uuid).map_err(failed("make", &path))?;
    files::replace(&path, &content)?;
    Ok(Some(VmDir::SEED))
}

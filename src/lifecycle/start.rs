//! Starts a VM: image, disk, ports, identity, QEMU.

use std::fs::File;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::host::layout::VmDir;
use crate::host::{lock, random};
use crate::lifecycle::Engine;
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::event::{Event, Listener};
use crate::lifecycle::run::Run;
use crate::lifecycle::{image, prepare, seat, shares};
use crate::qemu::accel::{self, Verdict};
use crate::qemu::args::Machine;
use crate::qemu::launch::{Given, LaunchError, launch};
use crate::registry::record::Record;
use crate::vm::name::VmName;
use crate::vm::port::Port;

/// How long QEMU may take to answer on its control socket. It takes some 50 ms.
const COME_UP: Duration = Duration::from_secs(30);

/// How often a port may be taken from under a launch before that is an error.
const PORT_TRIES: usize = 5;

/// What is said at the first start of a VM that keeps nothing.
const FORGETS: &str = "as `--overlay` says, every start begins with a clean disk: files, packages, settings and logins \
    in it are gone then, and only its shared folders keep what was written";

/// How long somebody may hold a VM's lock who only looks whether it is alive: a moment, and until a program that is being
/// started beside has begun.
const GLANCE: Duration = Duration::from_millis(50);

/// How a VM is to be started.
#[derive(Clone, Copy, Debug, Default)]
pub struct How {
    /// With an empty disk; what is on the old one is lost.
    pub new_disk: bool,
    /// With its image's own system, whatever was recorded in the guest.
    pub base: bool,
}

/// Launches QEMU for a VM and returns as soon as it runs; whether the guest can be reached is another question. A VM
/// that is alive already, or is being started by somebody else, is left as it is, and is an error where it was to be
/// started with another disk or system.
pub async fn launch_vm(
    engine: &Engine,
    name: &VmName,
    how: How,
    listener: &Listener,
) -> Result<(), LifecycleError> {
    // First of all that the VM exists: a lock file must not be what makes its directory look like one.
    if engine.registry.get(name)?.guest.is_adopted() {
        return Err(LifecycleError::Adopted { name: name.clone() });
    }
    let Some(mut run_lock) = run_lock(engine, name).await? else {
        let is_as_asked = !how.new_disk && !how.base;
        return if is_as_asked { Ok(()) } else { Err(LifecycleError::NotAnew { name: name.clone() }) };
    };
    let mut refused: Vec<Port> = Vec::new();
    loop {
        let how = How { new_disk: how.new_disk && refused.is_empty(), ..how };
        let launched = attempt(engine, name, how, &refused, run_lock, listener).await;
        let taken = match &launched {
            Err(LifecycleError::Launch(LaunchError::PortTaken { port })) => Some(*port),
            Err(LifecycleError::Launch(LaunchError::ScreenPortTaken)) => {
                engine.registry.get(name)?.screen_port()
            }
            _ => None,
        };
        match taken {
            Some(port) if refused.len() < PORT_TRIES => refused.push(port),
            _ => return launched,
        }
        // The lock went to the QEMU that ended.
        match self::run_lock(engine, name).await? {
            Some(again) => run_lock = again,
            None => return Ok(()),
        }
    }
}

/// Takes the lock that says that a VM is alive; `None` when it is.
async fn run_lock(engine: &Engine, name: &VmName) -> Result<Option<File>, LifecycleError> {
    let path = engine.registry.dir(name).file(VmDir::RUN_LOCK);
    let end = Instant::now() + GLANCE;
    loop {
        let lock = lock::try_exclusive(&path)?;
        if lock.is_some() || Instant::now() >= end {
            return Ok(lock);
        }
        sleep(GLANCE / 10).await;
    }
}

async fn attempt(
    engine: &Engine,
    name: &VmName,
    how: How,
    refused: &[Port],
    run_lock: File,
    listener: &Listener,
) -> Result<(), LifecycleError> {
    let given = {
        let (engine, name, refused, listener) =
            (engine.clone(), name.clone(), refused.to_vec(), listener.clone());
        tokio::task::spawn_blocking(move || gather(&engine, &name, how, &refused, &listener)).await??
    };
    let dir = engine.registry.dir(name);
    listener(Event::Step("starting QEMU".to_owned()));
    let qemu = crate::qemu::binary(engine.qemu.as_ref())?;
    let launched = launch(&qemu, given, &dir, run_lock, COME_UP).await;
    prepare::forget_credentials(&dir)?;
    Ok(launched?)
}

/// Puts everything in place, and returns what QEMU is to be started with.
fn gather(
    engine: &Engine,
    name: &VmName,
    how: How,
    refused: &[Port],
    listener: &Listener,
) -> Result<Given, LifecycleError> {
    let dir = engine.registry.dir(name);
    let mut record = engine.registry.get(name)?;
    if how.new_disk {
        record.base = None;
    }
    let qemu = crate::qemu::binary(engine.qemu.as_ref())?;
    let sound = seat::sound(engine, record.audio)?;
    let given = shares::for_launch(engine, &record)?;
    if record.overlay && record.base.is_none() {
        listener(Event::Warning(FORGETS.to_owned()));
    }
    let images = image::for_vm(engine, &record, listener)?;
    if image::lacks_desktop(&record, &images) {
        listener(Event::Warning(format!(
            "its disk lies over `{}`, which has no desktop, so its screen stays empty; `ai-vm start {name} --new-disk` \
                 begins anew with one, without what is on the disk",
            images.disk.image.id
        )));
    }
    let clean = how.new_disk || record.overlay;
    let record = prepare::disk(engine, record, &images, clean)?;
    let recorded = prepare::recorded(engine, &record, &images, (clean, how.base), listener)?;
    let record = prepare::ports(engine, record, refused, listener)?;
    let screen = seat::screen(engine, &record, refused)?;
    let (Some(hardware), Some(machine)) = (record.hardware, &record.machine) else {
        return Err(LifecycleError::Adopted { name: record.name });
    };
    let verdict = decide(engine, &qemu, &record, listener)?;
    let booted = recorded.as_ref().map(|choice| choice.id.clone());
    let run = Run::now(random::hex128()?, verdict.accel.name().to_owned(), booted);
    let run = Run { shares: given.shares, screen: screen.and_then(|screen| screen.address()), ..run };
    let identity = prepare::identity(&dir, &record, &run)?;
    let smbios = prepare::credentials(&dir, &identity)?;
    let system = images.system();
    let seed = prepare::seed(&dir, &record, system, &identity)?;
    run.write(&dir)?;
    let machine = Machine {
        name: record.name.as_str(),
        uuid: &record.uuid,
        machine,
        accel: verdict.accel,
        hardware,
        base: prepare::base(&images.disk.image)?,
        base_format: images.disk.image.manifest.format,
        seed,
        store: prepare::store(system),
        boot_disk: prepare::records(system).then_some(VmDir::BOOT_DISK),
        boot: recorded.map(|choice| choice.boot).or_else(|| prepare::direct_boot(system)),
        smbios: &smbios,
        forwards: &record.forwards,
        shares: &given.devices,
        sound,
        screen,
    };
    Ok(Given { args: machine.args(), folders: given.folders, variables: machine.variables() })
}

fn decide(
    engine: &Engine,
    qemu: &std::path::Path,
    record: &Record,
    listener: &Listener,
) -> Result<Verdict, LifecycleError> {
    let trying = || listener(Event::Passing("trying KVM".to_owned()));
    let verdict = accel::decide(engine.registry.layout(), qemu, record.accel, trying)?;
    if verdict.reason.is_some() {
        let warning =
            "KVM does not work here, so the processor is emulated, which is slow; `ai-vm doctor` says why";
        listener(Event::Warning(warning.to_owned()));
    }
    Ok(verdict)
}

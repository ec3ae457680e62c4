//! Sound and screen of a VM, as far as this machine has them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::host::files;
use crate::host::layout::VmDir;
use crate::host::random;
use crate::lifecycle::Engine;
use crate::lifecycle::error::LifecycleError;
use crate::qemu::screen::{Screen, Way};
use crate::qemu::sound::Sound;
use crate::registry::ports::{Machine, Probe, reassign};
use crate::registry::record::Record;
use crate::vm::desktop::ScreenPort;
use crate::vm::port::{Forward, Port, loopback};

/// Returns the sound of a VM that has any. An error where there is none here: a VM that was to have it and is silent would
/// be looked into for long. Blocks.
pub fn sound(engine: &Engine, audio: bool) -> Result<Option<Sound>, LifecycleError> {
    if !audio {
        return Ok(None);
    }
    let qemu = crate::qemu::binary(engine.qemu.as_ref())?;
    Ok(Some(Sound::find(&qemu, &engine.seat)?))
}

/// Returns the screen of a VM that has one, with a port of its own and a password where a viewer comes by one. `refused` are
/// ports that QEMU itself could not open. Blocks.
pub fn screen(engine: &Engine, record: &Record, refused: &[Port]) -> Result<Option<Screen>, LifecycleError> {
    let Some(desktop) = record.desktop else { return Ok(None) };
    let qemu = crate::qemu::binary(engine.qemu.as_ref())?;
    let way = Way::find(&qemu, engine.seat.has_display)?;
    let port = if way.listens() { port(engine, record, refused)? } else { None };
    if port.is_some() {
        let file = engine.registry.dir(&record.name).file(VmDir::SCREEN_PASSWORD);
        if !file.exists() {
            // VNC looks at its first eight characters alone, so each of them has to count.
            let password = URL_SAFE_NO_PAD.encode(random::bytes::<15>()?);
            files::replace(&file, password.as_bytes())?;
        }
    }
    Ok(Some(Screen { resolution: desktop.resolution, way: (way, port) }))
}

/// Returns the port of a VM's screen: the one that it had, as long as nobody else has taken it.
fn port(engine: &Engine, record: &Record, refused: &[Port]) -> Result<Option<ScreenPort>, LifecycleError> {
    let first = ScreenPort::first().unwrap_or(Port::SSH);
    let record = engine.registry.update(&record.name, |record, others| {
        let mut taken: Vec<Port> = record.forwards.iter().map(|forward| forward.host).collect();
        let Some(desktop) = &mut record.desktop else { return Ok(()) };
        let bind = loopback();
        let kept = desktop
            .port
            .map(ScreenPort::get)
            .filter(|port| !refused.contains(port) && Machine.is_free(bind, *port));
        // What is asked for is any port, as for a forward whose own is taken.
        taken.push(Port::SSH);
        taken.extend(refused);
        let mut wanted = [Forward { host: kept.unwrap_or(Port::SSH), guest: first, bind, auto: true }];
        if kept.is_none() {
            reassign(&mut wanted, others, &taken, &Machine)?;
        }
        let [chosen] = wanted;
        desktop.port = ScreenPort::try_from(chosen.host).ok();
        Ok::<_, LifecycleError>(())
    })?;
    Ok(record.desktop.and_then(|desktop| desktop.port))
}

//! A bare connection to a VM's SSH server, for other SSH clients: they check its key and log in by themselves.

use std::net::TcpStream;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::host::layout::VmDir;
use crate::host::lock;
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::event::Listener;
use crate::lifecycle::ready::Patience;
use crate::lifecycle::run::Run;
use crate::lifecycle::{Engine, reach, ready};
use crate::ssh::connect;
use crate::ssh::error::ConnectError;
use crate::vm::name::VmName;

/// How long a server may take for its first byte before another look is taken at where it should be.
const FIRST_BYTE: Duration = Duration::from_secs(10);

/// The pause between attempts where nobody listens.
const PAUSE: Duration = Duration::from_millis(100);

/// Opens a connection on which the server has begun to speak, waiting for a VM that boots. One that has not been seen
/// ready in this boot is logged in to first, because QEMU accepts connections before there is a guest.
pub async fn dial(
    engine: &Engine,
    name: &VmName,
    limit: Duration,
    listener: &Listener,
) -> Result<TcpStream, LifecycleError> {
    let patience = Patience::of(limit);
    let adopted = engine.registry.get(name)?.guest.is_adopted();
    let dir = engine.registry.dir(name);
    loop {
        let alive = adopted || lock::is_held(&dir.file(VmDir::RUN_LOCK))?;
        let ready = adopted || Run::read(&dir).is_some_and(|run| run.is_ready(&dir));
        if !alive || !ready {
            reach::wait(engine, name, patience, listener).await?;
        }
        // Its port may be another one than before.
        let target = ready::target(engine, &engine.registry.get(name)?)?;
        let end = patience.end().min(Instant::now() + FIRST_BYTE);
        match connect::reach(&target, end).await {
            Ok(stream) => {
                let address = target.endpoint;
                let silent = |source| ConnectError::Silent { address, source: Some(source) };
                return Ok(stream.into_std().map_err(silent)?);
            }
            Err(error) if adopted || !error.may_pass() || patience.left() <= PAUSE => {
                return Err(error.into());
            }
            // It may be booting anew.
            Err(_) => sleep(PAUSE).await,
        }
    }
}

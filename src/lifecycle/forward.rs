//! Forwards to and from a guest, for as long as a command runs.

use std::future::Future;
use std::net::IpAddr;

use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::event::Listener;
use crate::lifecycle::ready::Patience;
use crate::lifecycle::{Engine, ready};
use crate::registry::record::Record;
use crate::ssh::forward::local;
use crate::ssh::forward::{self, Auto, Plan, Teller};
use crate::vm::forwarding::{Goal, LocalForward, PortRange, ReverseForward};
use crate::vm::guest::Guest;
use crate::vm::name::VmName;
use crate::vm::port::Port;

/// What is to be forwarded.
#[derive(Clone, Debug)]
pub struct Forwards {
    /// From this machine to the guest.
    pub local: Vec<LocalForward>,
    /// From the guest to this machine.
    pub reverse: Vec<ReverseForward>,
    /// The address on which this machine listens.
    pub bind: IpAddr,
    /// Whether what the guest listens on is forwarded by itself, and which ports of it; all when there are none.
    pub auto: Option<Vec<PortRange>>,
}

/// Listens, waits for the guest while it boots, and forwards until `stop` ends, which is a success, or until the guest
/// is gone.
pub async fn run(
    engine: &Engine,
    name: &VmName,
    forwards: &Forwards,
    patience: Patience,
    listener: Listener,
    teller: &Teller,
    stop: impl Future<Output = ()>,
) -> Result<(), LifecycleError> {
    let mut stop = std::pin::pin!(stop);
    let open = |forward: &LocalForward| local::Listener::open(forward, forwards.bind);
    let local = forwards.local.iter().map(open).collect::<Result<_, _>>()?;
    let session = tokio::select! {
        session = ready::session(engine, name, patience, &listener) => session?,
        () = &mut stop => return Ok(()),
    };
    // The line that showed the boot goes away.
    drop(listener);
    let record = engine.registry.get(name)?;
    let target = ready::target(engine, &record)?;
    let auto =
        forwards.auto.as_ref().map(|only| Auto { only: only.clone(), except: except(&record, forwards) });
    let plan = Plan { local, reverse: forwards.reverse.clone(), auto };
    Ok(forward::run(session, target, plan, teller, stop).await?)
}

/// Returns the ports of the guest that need no forward: those of its SSH server and those that have one.
fn except(record: &Record, forwards: &Forwards) -> Vec<Port> {
    let ssh = match &record.guest {
        Guest::Adopted(adopted) => adopted.port,
        _ => Port::SSH,
    };
    let asked = forwards.local.iter().filter_map(|forward| match forward.goal {
        Goal::Tcp { host: None, port } => Some(port),
        _ => None,
    });
    record.forwards.iter().map(|forward| forward.guest).chain(asked).chain([ssh]).collect()
}

//! Forwarding for as long as a command runs: connections that are accepted here are made by the guest, and the other way
//! round.
//!
//! What stands still is the only difficulty. russh has one queue for all channels of a connection: a channel whose
//! reader takes nothing stops all others of that connection once its own hundred packets wait. So connections that are
//! accepted here move to another SSH connection, a *lane*, while one stands still ([`lanes`]); the guest's listeners
//! and the look at its ports have each their own, so that they hold up nobody and nobody holds them up. What was on the
//! same lane before somebody stopped to read waits with it. Nothing is kept in memory but those queues.

mod auto;
mod carry;
pub mod error;
mod guest_ports;
mod lanes;
pub mod local;
mod reverse;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::ssh::connect::{Session, connect};
use crate::ssh::forward::error::ForwardError;
use crate::ssh::forward::guest_ports::Ports;
use crate::ssh::forward::lanes::{Lane, Lanes};
use crate::ssh::forward::local::Listener;
use crate::ssh::forward::reverse::Reverse;
use crate::ssh::target::Target;
use crate::vm::forwarding::{PortRange, ReverseForward};
use crate::vm::port::Port;

pub use crate::ssh::forward::auto::MAX_AUTO;

/// How long a guest that is up may take for a further login, and for its first byte.
const LOGIN: Duration = Duration::from_secs(30);
const FIRST_BYTE: Duration = Duration::from_secs(10);

/// How often it is looked whether the guest is still there.
const LOOK: Duration = Duration::from_millis(200);

/// How long a connection may take to end whose program has ended.
const GOODBYE: Duration = Duration::from_secs(2);

/// After how many logins in vain, while a connection stands still, the guest counts as gone.
const LOGINS_IN_VAIN: u32 = 5;

/// One forward, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Whether the guest listens, instead of this machine.
    pub reverse: bool,
    /// Where connections are accepted, as the side that listens calls it.
    pub listen: String,
    /// Where they are led to, as the side that connects calls it.
    pub goal: String,
}

/// Something worth telling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Connections are accepted from now on.
    Opened(Link),
    /// They are not any more.
    Closed(Link),
    /// One was accepted and could not be led on. Told once until one could be.
    Refused(Link, String),
    /// From now on it is watched what the guest listens on.
    Watching,
    /// The guest listens on more ports than are forwarded by themselves.
    TooMany,
}

/// Receives events.
pub type Teller = Arc<dyn Fn(Event) + Send + Sync>;

/// Which of the ports that the guest listens on are forwarded by themselves.
#[derive(Clone, Debug, Default)]
pub struct Auto {
    /// Only these, where any are given.
    pub only: Vec<PortRange>,
    /// Never these.
    pub except: Vec<Port>,
}

/// What is forwarded.
pub struct Plan {
    /// Where this machine listens already.
    pub local: Vec<Listener>,
    /// Where the guest is to listen.
    pub reverse: Vec<ReverseForward>,
    /// Whether its own listeners are forwarded, and which.
    pub auto: Option<Auto>,
}

/// Forwards until `stop` ends, which is a success, or until the guest is gone.
pub async fn run(
    session: Session,
    target: Target,
    plan: Plan,
    teller: &Teller,
    stop: impl Future<Output = ()>,
) -> Result<(), ForwardError> {
    let Plan { local, reverse, auto } = plan;
    let mut opened = Vec::new();
    let watched = match prepare(&target, &reverse, &mut opened, auto.is_some()).await {
        Ok(watched) => watched,
        Err(error) => {
            end(opened).await;
            return Err(error);
        }
    };
    let mut sessions: Vec<Arc<Session>> = opened.iter().map(Reverse::session).collect();
    let lanes = Arc::new(Lanes::new(session, target));
    // Dropped, they end all that they have.
    let (mut serving, mut following) = (JoinSet::new(), JoinSet::new());
    for listener in local {
        teller(Event::Opened(listener.link.clone()));
        serving.spawn(listener.serve(Arc::clone(&lanes), Arc::clone(teller)));
    }
    for reverse in &mut opened {
        teller(Event::Opened(reverse.link.clone()));
        serving.spawn(reverse.serve(lanes.permits(), Arc::clone(teller)));
    }
    if let (Some(auto), Some((session, ports))) = (auto, watched) {
        sessions.push(session);
        let except = opened.iter().filter_map(Reverse::port).chain(auto.except);
        let auto = Auto { except: except.collect(), ..auto };
        teller(Event::Watching);
        following.spawn(auto::follow(auto, ports, Arc::clone(&lanes), Arc::clone(teller)));
    }
    let result = tokio::select! {
        () = stop => {
            end(opened).await;
            Ok(())
        }
        () = gone(&lanes, &sessions) => Err(ForwardError::Lost),
        Some(_) = following.join_next() => {
            // A guest that is gone says nothing either.
            Err(timeout(GOODBYE, gone(&lanes, &sessions)).await.map_or(ForwardError::Silent, |()| ForwardError::Lost))
        }
    };
    // What listens has let go of its sockets when this returns.
    serving.shutdown().await;
    following.shutdown().await;
    result
}

/// What tells of the guest's ports, and the connection that it does it on.
type Watched = (Arc<Session>, watch::Receiver<Option<Ports>>);

/// Lets the guest listen, and begins to watch what it listens on if that is wanted.
async fn prepare(
    target: &Target,
    reverse: &[ReverseForward],
    opened: &mut Vec<Reverse>,
    watched: bool,
) -> Result<Option<Watched>, ForwardError> {
    for forward in reverse {
        opened.push(Reverse::open(target, forward).await?);
    }
    if !watched {
        return Ok(None);
    }
    let session = Arc::new(connect(target, FIRST_BYTE, Instant::now() + LOGIN).await?);
    let ports = guest_ports::watch(&session).await?;
    Ok(Some((session, ports)))
}

async fn end(opened: Vec<Reverse>) {
    for reverse in opened {
        reverse.end().await;
    }
}

/// Waits until a connection to the guest is lost. One that stands still does not notice; then another one is made
/// which does.
async fn gone(lanes: &Lanes, others: &[Arc<Session>]) {
    let mut spare: Option<Arc<Lane>> = None;
    let mut in_vain = 0;
    while !lanes.lost().await && !others.iter().any(|session| session.is_closed()) {
        if lanes.first_flows() {
            spare = None;
        } else if spare.is_none() {
            match lanes.flowing().await {
                Ok(lane) => {
                    spare = Some(lane);
                    in_vain = 0;
                }
                Err(_) if in_vain >= LOGINS_IN_VAIN => return,
                Err(_) => in_vain += 1,
            }
        }
        sleep(LOOK).await;
    }
}

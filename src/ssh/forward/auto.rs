//! Forwards what the guest listens on, as long as it does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

use crate::ssh::forward::guest_ports::Ports;
use crate::ssh::forward::lanes::Lanes;
use crate::ssh::forward::local::Listener;
use crate::ssh::forward::{Auto, Event, Link, Teller};
use crate::vm::forwarding::{Goal, Listen, LocalForward};
use crate::vm::port::{Port, loopback};

/// The most ports that are forwarded by themselves at a time.
pub const MAX_AUTO: usize = 64;

/// How often, at most, it is looked at what the guest says: it may say anything as often as it likes.
const PACE: Duration = Duration::from_millis(900);

impl Auto {
    fn wants(&self, port: Port) -> bool {
        let named = self.only.is_empty() || self.only.iter().any(|range| range.contains(port));
        named && !self.except.contains(&port)
    }
}

/// Listens on loopback for each port of the guest, until it tells no longer.
pub(super) async fn follow(
    auto: Auto,
    mut ports: watch::Receiver<Option<Ports>>,
    lanes: Arc<Lanes>,
    teller: Teller,
) {
    let mut open: BTreeMap<Port, Open> = BTreeMap::new();
    // Dropped, it ends them all; connections go on.
    let mut serving = JoinSet::new();
    let mut told_of_too_many = false;
    while ports.changed().await.is_ok() {
        let now = ports.borrow_and_update().clone().unwrap_or_default();
        let gone: Vec<Port> = open.keys().copied().filter(|port| !now.contains_key(port)).collect();
        for port in gone {
            if let Some(Open { task, link, .. }) = open.remove(&port) {
                end(task).await;
                teller(Event::Closed(link));
            }
        }
        // Those that were ended.
        while serving.try_join_next().is_some() {}
        for (port, host) in now {
            if open.contains_key(&port) || !auto.wants(port) || open.values().any(|one| one.is(port)) {
                continue;
            }
            if open.len() >= MAX_AUTO {
                if !std::mem::replace(&mut told_of_too_many, true) {
                    teller(Event::TooMany);
                }
                break;
            }
            let forward = LocalForward { listen: Listen::Auto, goal: Goal::Tcp { host, port } };
            // Where there is no port or descriptor left here, there may be one the next time.
            let Ok(listener) = Listener::open(&forward, loopback()) else { continue };
            let (link, here) = (listener.link.clone(), listener.port());
            teller(Event::Opened(link.clone()));
            let task = serving.spawn(listener.serve(Arc::clone(&lanes), Arc::clone(&teller)));
            open.insert(port, Open { task, link, moved_to: here.filter(|here| *here != port) });
        }
        sleep(PACE).await;
    }
}

/// A port that is forwarded.
struct Open {
    task: AbortHandle,
    link: Link,
    /// The port here, where it is another one than in the guest.
    moved_to: Option<Port>,
}

impl Open {
    /// Tells whether a port of the guest may be ours: a guest that was adopted can be this very machine, and forwarding
    /// what we listen on ourselves would never end.
    fn is(&self, port: Port) -> bool {
        self.moved_to == Some(port)
    }
}

/// Ends a listener. Its port is free when this returns.
async fn end(task: AbortHandle) {
    task.abort();
    while !task.is_finished() {
        tokio::task::yield_now().await;
    }
}

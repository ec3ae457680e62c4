//! The SSH connections that carry what is accepted here: one, and further ones while something stands still.

use std::sync::{Arc, Weak};
use std::time::Duration;

use russh::Channel;
use russh::client::Msg;
use tokio::sync::{Mutex, Semaphore, oneshot};
use tokio::time::{Instant, sleep, sleep_until};

use crate::ssh::connect::{Session, connect};
use crate::ssh::direct::{Refusal, hand_over};
use crate::ssh::error::ConnectError;
use crate::ssh::forward::carry::{STALL, Stalls};
use crate::ssh::forward::{FIRST_BYTE, LOGIN};
use crate::ssh::target::Target;
use crate::vm::forwarding::Goal;

/// The most SSH connections. When something stands still on each, new connections share the one with the fewest.
const MAX_LANES: usize = 8;

/// The most connections at a time; further ones wait to be accepted.
const MAX_CONNECTIONS: usize = 256;

/// How long the guest may take to connect.
const ANSWER: Duration = Duration::from_secs(30);

/// An SSH connection and what stands still on it.
pub(super) struct Lane {
    session: Session,
    pub stalls: Stalls,
}

impl Lane {
    fn flows(&self) -> bool {
        self.stalls.count() == 0
    }
}

/// All of them.
pub(super) struct Lanes {
    target: Target,
    first: Arc<Lane>,
    /// Each lives as long as something that it carries.
    further: Mutex<Vec<Weak<Lane>>>,
    permits: Arc<Semaphore>,
}

impl Lanes {
    pub fn new(session: Session, target: Target) -> Self {
        let first = Arc::new(Lane { session, stalls: Stalls::default() });
        let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        Self { target, first, further: Mutex::default(), permits }
    }

    /// Returns what has to be had for each connection.
    pub fn permits(&self) -> Arc<Semaphore> {
        Arc::clone(&self.permits)
    }

    /// Tells whether nothing stands still on the first one.
    pub fn first_flows(&self) -> bool {
        self.first.flows()
    }

    /// Tells whether one of them is known to be lost.
    pub async fn lost(&self) -> bool {
        self.first.session.is_closed() || self.live().await.iter().any(|lane| lane.session.is_closed())
    }

    async fn live(&self) -> Vec<Arc<Lane>> {
        self.further.lock().await.iter().filter_map(Weak::upgrade).collect()
    }

    /// Returns one on which nothing stands still, made if need be.
    pub async fn flowing(&self) -> Result<Arc<Lane>, ConnectError> {
        if self.first.flows() {
            return Ok(Arc::clone(&self.first));
        }
        // Held while one is made, so that the others who wait for one get the same.
        let mut further = self.further.lock().await;
        further.retain(|lane| lane.strong_count() > 0);
        let live: Vec<_> = further.iter().filter_map(Weak::upgrade).collect();
        if let Some(lane) = live.iter().find(|lane| lane.flows()) {
            return Ok(Arc::clone(lane));
        }
        if live.len() + 1 < MAX_LANES {
            let session = connect(&self.target, FIRST_BYTE, Instant::now() + LOGIN).await?;
            let lane = Arc::new(Lane { session, stalls: Stalls::default() });
            further.push(Arc::downgrade(&lane));
            return Ok(lane);
        }
        let least = live.into_iter().min_by_key(|lane| lane.stalls.count());
        Ok(least.unwrap_or_else(|| Arc::clone(&self.first)))
    }

    /// Lets the guest connect to something. When the lane on which it was asked comes to a stand, another one is tried.
    pub async fn open(&self, goal: &Goal) -> Result<(Arc<Lane>, Channel<Msg>), Refusal> {
        let deadline = Instant::now() + ANSWER;
        loop {
            let lane = self.flowing().await.map_err(|_| Refusal::Lost)?;
            let (to, mut answer) = oneshot::channel();
            let (asked, wanted) = (Arc::clone(&lane), goal.clone());
            tokio::spawn(async move { hand_over(asked.session.direct(&wanted).await, to).await });
            loop {
                tokio::select! {
                    answer = &mut answer => return Ok((lane, answer.unwrap_or(Err(Refusal::Lost))?)),
                    () = sleep_until(deadline) => return Err(Refusal::Timeout),
                    () = sleep(STALL) => {
                        if !lane.flows() {
                            break;
                        }
                    }
                }
            }
        }
    }
}

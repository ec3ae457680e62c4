//! How many of many may be at work at the same time, and whether others are to begin at all.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Lets so many in at once, until it is closed.
#[derive(Clone, Debug)]
pub struct Gate {
    permits: Arc<Semaphore>,
    closed: Arc<watch::Sender<bool>>,
}

impl Gate {
    /// Lets `at_once` in at the same time, one at least.
    pub fn new(at_once: usize) -> Self {
        let permits = Arc::new(Semaphore::new(at_once.clamp(1, Semaphore::MAX_PERMITS)));
        Self { permits, closed: Arc::new(watch::Sender::new(false)) }
    }

    /// Waits to be let in, which lasts as long as the returned value; `None` when the gate is closed.
    pub async fn enter(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).acquire_owned().await.ok()
    }

    /// Lets in no others.
    pub fn close(&self) {
        self.closed.send_replace(true);
        self.permits.close();
    }

    /// Tells whether it is closed.
    pub fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    /// Returns when it is closed.
    pub async fn closed(&self) {
        // The sender lives as long as this value.
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }
}

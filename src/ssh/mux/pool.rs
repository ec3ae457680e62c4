//! The connections that nobody uses right now.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::ssh::connect::Session;
use crate::ssh::program::Started;
use crate::ssh::target::Target;

/// How long a connection is kept that nobody uses.
const KEEP: Duration = Duration::from_secs(120);

/// How many connections of one kind are kept.
const SPARE: usize = 8;

/// Everything that makes a connection the right one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The server, with its pinned key.
    pub target: Target,
    /// The marker of the boot, and what else makes a login another one.
    pub boot: String,
}

/// A connection that is not in use.
pub struct Idle {
    /// The connection.
    pub session: Session,
    /// A shell that waits on it.
    pub standby: Started,
    since: Instant,
}

impl Idle {
    /// Describes a connection from this moment on.
    pub fn now(session: Session, standby: Started) -> Self {
        Self { session, standby, since: Instant::now() }
    }
}

/// All connections that are not in use.
#[derive(Default)]
pub struct Pool {
    idle: Mutex<HashMap<Key, Vec<Idle>>>,
}

impl Pool {
    /// Takes the connection that was used last, and so knows best what the user's profile says.
    pub fn take(&self, key: &Key) -> Option<Idle> {
        self.lock().get_mut(key)?.pop()
    }

    /// Keeps a connection.
    pub fn put(&self, key: Key, idle: Idle) {
        let mut pool = self.lock();
        let kept = pool.entry(key).or_default();
        kept.push(idle);
        if kept.len() > SPARE {
            kept.remove(0);
        }
    }

    /// Lets go of connections that are broken or have not been used for long; tells whether any are left.
    pub fn sweep(&self) -> bool {
        let mut pool = self.lock();
        for kept in pool.values_mut() {
            kept.retain(|idle| idle.since.elapsed() < KEEP && !idle.session.is_closed());
        }
        pool.retain(|_, kept| !kept.is_empty());
        !pool.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Vec<Idle>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

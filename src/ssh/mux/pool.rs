//! The connections that nobody uses right now.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::ssh::connect::Session;
use crate::ssh::program::Started;
use crate::ssh::target::Target;

/// How long a connection is kept that nobody uses.
const KEEP: Duration = Duration::from_secs(120);

/// How long the server may take to begin with the shell that waits.
const STANDBY: Duration = Duration::from_secs(10);

/// How long a connection that was not in use may take for a sign of life.
const PING: Duration = Duration::from_secs(2);

/// How long a sign of life is as good as a new one. Commands of a loop come in milliseconds, and each would be told a
/// third of a millisecond later what the end of the one before it has just told.
const FRESH: Duration = Duration::from_millis(50);

/// How often a connection that has just been let go is asked for a sign of life, so that there is a fresh one for the next
/// command, and for how long: who runs one command often runs another at once.
const PULSE: Duration = Duration::from_millis(40);
const ATTENTIVE: Duration = Duration::from_secs(1);

/// How many connections are asked so at the same time. Those of a fleet would have the machine do nothing else.
const ATTENDED: usize = 4;

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
    session: Arc<Session>,
    /// The shell that waits on it, or is only being started.
    standby: JoinHandle<Option<Started>>,
    /// When it was let go.
    since: Instant,
    /// When the server last said something.
    heard: watch::Receiver<Instant>,
}

impl Idle {
    /// Begins to start a shell on a connection that has just been let go. Whoever takes the connection meanwhile waits
    /// for that shell, which takes less than a login.
    pub fn now(session: Arc<Session>) -> Self {
        let on = Arc::clone(&session);
        let standby =
            tokio::spawn(async move { on.standby(tokio::time::Instant::now() + STANDBY).await.ok() });
        Self::since_now(session, standby)
    }

    /// Keeps a connection on which a shell waits already.
    pub fn with(session: Arc<Session>, standby: Started) -> Self {
        Self::since_now(session, tokio::spawn(async { Some(standby) }))
    }

    fn since_now(session: Arc<Session>, standby: JoinHandle<Option<Started>>) -> Self {
        let since = Instant::now();
        Self { session, standby, since, heard: watch::channel(since).1 }
    }

    /// Has the server asked for signs of life for a while, until somebody takes the connection.
    fn attended(self, one_of_few: OwnedSemaphorePermit) -> Self {
        let (tell, heard) = watch::channel(self.since);
        let session = Arc::clone(&self.session);
        tokio::spawn(async move {
            let _one_of_few = one_of_few;
            let ask = async {
                while tell.borrow().duration_since(self.since) < ATTENTIVE {
                    sleep(PULSE).await;
                    if !answers(&session).await {
                        return;
                    }
                    tell.send_replace(Instant::now());
                }
            };
            tokio::select! {
                () = ask => {}
                () = tell.closed() => {}
            }
        });
        Self { heard, ..self }
    }

    /// Returns the connection and its shell, if the server gives a sign of life: what a guest that has gone is sent is
    /// lost without a word, and a command that was sent may not be sent again.
    pub async fn revive(self) -> Option<(Arc<Session>, Started)> {
        let heard = self.heard.borrow().elapsed();
        let fresh = heard < FRESH && self.standby.is_finished() && !self.session.is_closed();
        if !fresh && !answers(&self.session).await {
            return None;
        }
        let standby = self.standby.await.ok().flatten()?;
        Some((self.session, standby))
    }
}

/// Asks the server for a sign of life.
async fn answers(session: &Session) -> bool {
    timeout(PING, session.is_alive()).await == Ok(true)
}

/// All connections that are not in use.
pub struct Pool {
    idle: Mutex<HashMap<Key, Vec<Idle>>>,
    /// Who may be asked for signs of life.
    attended: Arc<Semaphore>,
}

impl Default for Pool {
    fn default() -> Self {
        Self { idle: Mutex::default(), attended: Arc::new(Semaphore::new(ATTENDED)) }
    }
}

impl Pool {
    /// Takes the connection that was used last, and so knows best what the user's profile says.
    pub fn take(&self, key: &Key) -> Option<Idle> {
        self.lock().get_mut(key)?.pop()
    }

    /// Keeps a connection.
    pub fn put(&self, key: Key, idle: Idle) {
        let idle = match Arc::clone(&self.attended).try_acquire_owned() {
            Ok(one_of_few) => idle.attended(one_of_few),
            Err(_) => idle,
        };
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

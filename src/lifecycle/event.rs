//! What happens while something takes time, for whoever shows it.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::sleep;

use crate::vm::port::Port;

/// After how long somebody who waits wants to know for what.
pub const MOMENT: Duration = Duration::from_millis(500);

/// How often is told how far something is.
pub const REFRESH: Duration = Duration::from_millis(100);

/// Something worth telling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A new step is under way, as a short phrase: `building the image: packages`.
    Step(String),
    /// The same of a step that is over in a moment as a rule, of which a log need not tell.
    Passing(String),
    /// How far the step is, in bytes.
    Bytes {
        /// So many are done.
        done: u64,
        /// Of so many, where that is known.
        total: Option<u64>,
    },
    /// About how long it will still take, going by what it took last time on this machine.
    Estimate(Duration),
    /// The guest's last console line, not filtered.
    Console(String),
    /// A host port that ai-vm had chosen was taken by something else, and another one was chosen.
    Moved {
        /// The guest port it leads to.
        guest: Port,
        /// The old host port.
        from: Port,
        /// The new host port.
        to: Port,
    },
    /// Something that is not as good as it could be.
    Warning(String),
}

/// Receives events. Shared between tasks, so that the work can run beside whoever shows it.
pub type Listener = std::sync::Arc<dyn Fn(Event) + Send + Sync>;

/// What is going on at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The step.
    pub step: &'static str,
    /// How many bytes are done and, where that is known, of how many.
    pub bytes: Option<(u64, Option<u64>)>,
}

/// Tells how something is getting on for as long as this is polled, if it takes longer than a moment. `look` returns `None`
/// where somebody else says it.
pub async fn follow(listener: &Listener, look: impl Fn() -> Option<Now>) -> Infallible {
    sleep(MOMENT).await;
    let mut shown = None;
    loop {
        if let Some(now) = look() {
            if shown.replace(now.step) != Some(now.step) {
                listener(Event::Passing(now.step.to_owned()));
            }
            if let Some((done, total)) = now.bytes {
                listener(Event::Bytes { done, total });
            }
        }
        sleep(REFRESH).await;
    }
}

/// Does something, and says what if it takes longer than a moment.
pub async fn unless_quick<T>(listener: &Listener, step: &str, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    tokio::select! {
        biased;
        done = &mut work => return done,
        () = sleep(MOMENT) => listener(Event::Passing(step.to_owned())),
    }
    work.await
}

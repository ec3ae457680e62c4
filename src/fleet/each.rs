//! The same work many times, in general on many VMs: bounded parallelism, one outcome each.

use std::future::Future;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use crate::diagnostic::Diagnostic;
use crate::fleet::gate::Gate;
use crate::vm::name::VmName;

/// How the work on one VM ended.
#[derive(Debug)]
pub enum End {
    /// Well; the words say what was done.
    Done(String),
    /// It failed.
    Failed(Box<dyn Diagnostic>),
    /// It was not begun, or no longer waited for, because it had failed for another VM.
    Cancelled,
}

/// What the work on one VM came to, or on what else is told apart by names.
#[derive(Debug)]
pub struct Outcome<N = VmName> {
    /// The VM.
    pub name: N,
    /// How it ended.
    pub end: End,
    /// How long it took from its own beginning.
    pub took: Duration,
}

/// Does the same to many VMs, to at most `at_once` at the same time. With `fail_fast` the first failure ends the others:
/// what has not begun does not begin, and what is under way is left as it is. `done` is told each outcome as it comes,
/// and of each task that panicked. Returns the outcomes in order of the names.
pub async fn run<N, F>(
    names: Vec<N>,
    at_once: usize,
    fail_fast: bool,
    mut work: impl FnMut(N) -> F,
    mut done: impl FnMut(Result<&Outcome<N>, JoinError>),
) -> Vec<Outcome<N>>
where
    N: Clone + Ord + Send + 'static,
    F: Future<Output = Result<String, Box<dyn Diagnostic>>> + Send + 'static,
{
    let gate = Gate::new(at_once);
    let mut jobs = JoinSet::new();
    for name in names {
        let (gate, job) = (gate.clone(), work(name.clone()));
        jobs.spawn(async move {
            let permit = gate.enter().await;
            let begun = Instant::now();
            let end = match &permit {
                None => End::Cancelled,
                // What is done is done, even as the gate is closed.
                Some(_) => tokio::select! {
                    biased;
                    ended = job => ended.map_or_else(End::Failed, End::Done),
                    () = gate.closed() => End::Cancelled,
                },
            };
            drop(permit);
            Outcome { name, end, took: begun.elapsed() }
        });
    }
    let mut outcomes = Vec::new();
    while let Some(joined) = jobs.join_next().await {
        match joined {
            Ok(outcome) => {
                if fail_fast && matches!(outcome.end, End::Failed(_)) {
                    gate.close();
                }
                done(Ok(&outcome));
                outcomes.push(outcome);
            }
            Err(error) => done(Err(error)),
        }
    }
    outcomes.sort_by(|a, b| a.name.cmp(&b.name));
    outcomes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::error::LifecycleError;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    fn names(count: usize) -> Vec<VmName> {
        (0..count).map(|number| format!("vm{number}").parse().unwrap()).collect()
    }

    #[tokio::test]
    async fn no_more_than_asked_for_run_at_once() {
        for (at_once, most) in [(0, 1), (3, 3), (usize::MAX, 10)] {
            let counts = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
            let work = |_| {
                let counts = Arc::clone(&counts);
                async move {
                    counts.1.fetch_max(counts.0.fetch_add(1, SeqCst) + 1, SeqCst);
                    // Long enough for all the others to have their turn.
                    for _ in 0..100 {
                        tokio::task::yield_now().await;
                    }
                    counts.0.fetch_sub(1, SeqCst);
                    Ok(String::new())
                }
            };
            let outcomes = run(names(10), at_once, false, work, |_| {}).await;
            assert_eq!((outcomes.len(), counts.1.load(SeqCst)), (10, most));
        }
    }

    #[tokio::test]
    async fn the_first_failure_ends_the_others_where_that_is_wanted() {
        for fail_fast in [false, true] {
            let work = move |name: VmName| async move {
                match name.as_str() {
                    "vm0" => Ok("at once".to_owned()),
                    "vm1" => Err(LifecycleError::Stopped { name }.into()),
                    // Without an end of its own, so that this test would not have one.
                    _ if fail_fast => std::future::pending().await,
                    _ => Ok("later".to_owned()),
                }
            };
            let mut told = 0;
            let outcomes = run(names(5), 3, fail_fast, work, |_| told += 1).await;
            let ends = outcomes.iter().map(|outcome| match outcome.end {
                End::Done(_) => 'd',
                End::Failed(_) => 'f',
                End::Cancelled => 'c',
            });
            assert_eq!(ends.collect::<String>(), if fail_fast { "dfccc" } else { "dfddd" });
            assert_eq!(told, 5);
        }
    }
}

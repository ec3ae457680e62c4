//! The same for many VMs at once: one result each, one exit code for all.

use std::future::Future;

use tokio::task::JoinSet;

use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::diagnostic::Diagnostic;
use crate::fleet::outcome::exit_code;
use crate::lifecycle::Engine;
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::event::Listener;
use crate::vm::name::VmName;

/// What the work on one VM gets.
pub struct Job {
    /// What works on VMs.
    pub engine: Engine,
    /// The VM.
    pub name: VmName,
    /// Who is told what happens.
    pub listener: Listener,
}

/// Does the same to many VMs at the same time. Each success is told by the words that `work` returns, each failure
/// by its error. Returns the exit code: 0 when all went well, the failures' own when they agree, else 1.
pub fn each<W, F>(ctx: &Context, names: Vec<VmName>, work: W) -> Result<u8, Failure>
where
    W: Fn(Job) -> F,
    F: Future<Output = Result<String, LifecycleError>> + Send + 'static,
{
    let several = names.len() > 1;
    let codes = ctx.block_on(async {
        let mut jobs = JoinSet::new();
        for name in names {
            let listener = ctx.listener(name.as_str());
            let job = work(Job { engine: ctx.engine.clone(), name: name.clone(), listener });
            jobs.spawn(async move { (name, job.await) });
        }
        let mut codes = Vec::new();
        while let Some(done) = jobs.join_next().await {
            match done {
                Ok((name, Ok(words))) => ctx.terminal.status(&format!("{name}: {words}")),
                Ok((name, Err(error))) => {
                    ctx.terminal.error(&error, several.then_some(name.as_str()));
                    codes.push(error.kind().exit_code());
                }
                Err(error) => {
                    ctx.terminal.error(&LifecycleError::from(error), None);
                    codes.push(1);
                }
            }
        }
        codes
    })?;
    Ok(exit_code(codes))
}

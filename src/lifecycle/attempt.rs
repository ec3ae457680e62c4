//! One attempt to reach a guest and to see whether it has finished its set-up.

use std::time::Duration;

use tokio::time::Instant;

use crate::host::layout::VmDir;
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::run::Run;
use crate::ssh::command::Encoded;
use crate::ssh::connect::{Session, connect};
use crate::ssh::error::ConnectError;
use crate::ssh::program::Program;
use crate::ssh::session::SessionError;
use crate::ssh::target::Target;

/// How long one login may take once the server has begun to speak; an emulated guest at its first breath is slow.
const LOGIN: Duration = Duration::from_secs(20);

/// Where a guest writes the marker of its boot when it has finished its set-up.
const MARKER: &str = "/run/ai-vm/boot";

/// What an attempt to reach a guest has to know.
pub(super) struct Attempt {
    pub(super) target: Target,
    pub(super) run: Run,
    pub(super) dir: VmDir,
    /// How long the server may take for its first byte.
    pub(super) patience: Duration,
    /// When the attempt ends.
    pub(super) end: Instant,
}

/// How an attempt came out; the inner error is one that may pass, as words.
pub(super) type Outcome<T> = Result<Result<T, String>, LifecycleError>;

impl Attempt {
    /// Describes an attempt that begins now.
    pub(super) fn within(
        target: Target,
        run: Run,
        dir: &VmDir,
        patience: Duration,
        deadline: Instant,
    ) -> Self {
        Self { target, run, dir: dir.clone(), patience, end: deadline.min(Instant::now() + LOGIN) }
    }

    /// Returns the command that ends with 0 when the guest has finished the set-up of this boot. Every shell reads it
    /// alike, so it does without the user's profile, which takes time while a guest boots.
    pub(super) fn question(&self) -> Encoded {
        let line = format!("grep -qxF {} {MARKER}", self.run.boot);
        Encoded { script: line.clone(), line, no_input: true }
    }

    /// Takes down what that program ended with.
    pub(super) fn answered<T>(&self, status: Result<u8, SessionError>, reached: T) -> Outcome<T> {
        match status {
            Ok(0) => {
                self.run.set_ready(&self.dir)?;
                Ok(Ok(reached))
            }
            Ok(_) => Ok(Err("the guest has not finished its set-up".to_owned())),
            Err(error) => Ok(Err(error.to_string())),
        }
    }
}

/// Sorts an error: one that may pass becomes the outcome of an attempt.
pub(super) fn failed<T>(error: ConnectError) -> Outcome<T> {
    // Else QEMU may only just have lost the port, or never had it.
    if error.may_pass() { Ok(Err(error.to_string())) } else { Err(error.into()) }
}

/// Attempts to have a connection of one's own.
pub(super) async fn log_in(attempt: Attempt) -> Outcome<Session> {
    let session = match connect(&attempt.target, attempt.patience, attempt.end).await {
        Ok(session) => session,
        Err(error) => return failed(error),
    };
    if attempt.run.is_ready(&attempt.dir) {
        return Ok(Ok(session));
    }
    let program = Program::Command(attempt.question());
    let status = session.status(&program, attempt.end).await;
    attempt.answered(status, session)
}

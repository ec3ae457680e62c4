//! Programs of which only the exit code is wanted: questions that ai-vm asks a guest by itself.

use std::io;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::ssh::connect::Session;
use crate::ssh::mux::client::Remote;
use crate::ssh::program::{Program, Sink, Streams};
use crate::ssh::running::Running;
use crate::ssh::session::SessionError;

impl Session {
    /// Runs a program without input and returns its exit code.
    pub async fn status(&self, program: &Program, deadline: Instant) -> Result<u8, SessionError> {
        let ended = async {
            let (_nothing_to_ask, control) = mpsc::channel(1);
            self.start(program, None, deadline).await?.pump(streams(), control).await
        };
        Ok(timeout_at(deadline, ended).await.unwrap_or(Err(SessionError::Timeout))?.code())
    }
}

impl Remote {
    /// Waits for a program that gets no input and returns its exit code.
    pub async fn status(self, deadline: Instant) -> Result<u8, SessionError> {
        let (_nothing_to_ask, control) = mpsc::channel(1);
        let ended = timeout_at(deadline, self.pump(streams(), control)).await;
        Ok(ended.unwrap_or(Err(SessionError::Timeout))?.code())
    }
}

impl Running {
    /// Waits for a program that gets no input and returns its exit code.
    pub async fn status(self, deadline: Instant) -> Result<u8, SessionError> {
        let (_nothing_to_ask, control) = mpsc::channel(1);
        timeout_at(deadline, self.pump(streams(), control)).await.unwrap_or(Err(SessionError::Timeout))
    }
}

/// No input, and output that is let go.
fn streams() -> Streams<Nowhere, Nowhere> {
    let (_, stdin) = mpsc::channel(1);
    Streams { stdin, stdout: Nowhere, stderr: Nowhere }
}

/// Takes everything and keeps nothing.
pub(super) struct Nowhere;

impl Sink for Nowhere {
    async fn write(&mut self, _: Bytes) -> bool {
        true
    }

    async fn finish(self) -> io::Result<()> {
        Ok(())
    }
}

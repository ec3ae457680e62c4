//! A program that runs in a guest, by whichever connection.

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::ssh::connect::Session;
use crate::ssh::mux::client::Remote;
use crate::ssh::program::{Control, Program, Sink, Started, Streams, TerminalRequest};
use crate::ssh::session::SessionError;

/// A program that has been started.
pub enum Running {
    /// On a connection of its own.
    Own(Session, Started),
    /// On one that the holder keeps.
    Shared(Remote),
}

impl Running {
    /// Starts a program on a connection of its own. The server has until the deadline to begin.
    pub async fn on(
        session: Session,
        program: &Program,
        terminal: Option<&TerminalRequest>,
        begin_by: Instant,
    ) -> Result<Self, SessionError> {
        let started = session.start(program, terminal, begin_by).await?;
        Ok(Self::Own(session, started))
    }

    /// Carries the program's streams until it has ended and everything has been said. Returns its exit code: its own,
    /// 128+N when signal N ended it, or 141 when the reader of its output went away.
    pub async fn pump<O: Sink, E: Sink>(
        self,
        streams: Streams<O, E>,
        control: mpsc::Receiver<Control>,
    ) -> Result<u8, SessionError> {
        let end = match self {
            Self::Own(session, started) => {
                let end = started.pump(streams, control).await;
                drop(session);
                end
            }
            Self::Shared(remote) => remote.pump(streams, control).await,
        };
        Ok(end?.code())
    }
}

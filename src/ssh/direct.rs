//! Connections that a guest's SSH server makes for us.

use russh::client::Msg;
use russh::{Channel, ChannelOpenFailure, Error};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::ssh::connect::Session;
use crate::vm::forwarding::Goal;
use crate::vm::port::Port;

/// What the guest itself calls itself, by IPv4 and by IPv6.
pub(super) const LOCALHOST: &str = "localhost";

/// Why a connection was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nobody listens, or the name is not known there.
    #[error("nothing accepts connections there")]
    Unanswered,
    /// The server does not do that.
    #[error("the SSH server does not allow it")]
    Forbidden,
    /// No answer in time.
    #[error("there was no answer in time")]
    Timeout,
    /// The connection to the guest is gone.
    #[error("the connection to the VM was lost")]
    Lost,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::ChannelOpenFailure(ChannelOpenFailure::AdministrativelyProhibited) => Self::Forbidden,
            Error::ChannelOpenFailure(_) => Self::Unanswered,
            _ => Self::Lost,
        }
    }
}

impl Session {
    /// Tells whether something in the guest accepts connections on a port of its own.
    pub async fn accepts(&self, port: Port, deadline: Instant) -> Result<(), Refusal> {
        let goal = Goal::Tcp { host: None, port };
        let channel = timeout_at(deadline, self.direct(&goal)).await.unwrap_or(Err(Refusal::Timeout))?;
        // A connection that breaks here shows when it is used next.
        let _ = channel.close().await;
        Ok(())
    }

    /// Lets the guest connect to something. The answer can take as long as the guest likes.
    pub(super) async fn direct(&self, goal: &Goal) -> Result<Channel<Msg>, Refusal> {
        Ok(match goal {
            Goal::Tcp { host, port } => {
                let host = host.as_ref().map_or(LOCALHOST, |host| host.as_str());
                // Where a connection comes from is for logs only.
                self.handle.channel_open_direct_tcpip(host, port.get().into(), "127.0.0.1", 0).await?
            }
            Goal::Socket(path) => self.handle.channel_open_direct_streamlocal(path.to_string_lossy()).await?,
        })
    }
}

/// Passes a channel on, or closes it when nobody waits for it any more: the guest has connected for it.
pub(super) async fn hand_over(
    answer: Result<Channel<Msg>, Refusal>,
    to: oneshot::Sender<Result<Channel<Msg>, Refusal>>,
) {
    if let Err(Ok(channel)) = to.send(answer) {
        let _ = channel.close().await;
    }
}

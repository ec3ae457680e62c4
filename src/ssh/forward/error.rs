//! Why nothing is forwarded, or no longer.

use std::io;
use std::net::IpAddr;

use crate::diagnostic::{Diagnostic, Kind};
use crate::host::public_socket::SocketError;
use crate::ssh::error::ConnectError;
use crate::ssh::session::SessionError;
use crate::vm::port::Port;

/// Why nothing is forwarded, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// Somebody else listens here.
    #[error("the port {port} on {bind} is in use by {holder}")]
    Taken {
        /// The address.
        bind: IpAddr,
        /// The port.
        port: Port,
        /// Who listens, for people.
        holder: String,
        /// Where it was to lead to.
        goal: String,
    },
    /// This user may not listen there.
    #[error("the port {port} is privileged and you are not root")]
    Privileged {
        /// The port.
        port: Port,
        /// Where it was to lead to.
        goal: String,
    },
    /// The system does not let us listen.
    #[error("cannot listen on {bind}")]
    Listen {
        /// The address.
        bind: IpAddr,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A Unix socket cannot be made.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The guest's SSH server does not listen for us.
    #[error("the VM's SSH server does not listen on `{listen}`: it is taken there, or not allowed")]
    Refused {
        /// Where it was to listen.
        listen: String,
    },
    /// The guest did not listen in time.
    #[error("the VM's SSH server did not listen on `{listen}` in time")]
    Timeout {
        /// Where it was to listen.
        listen: String,
    },
    /// A further connection to the guest cannot be had.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The guest does not say what it listens on.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The guest says no longer what it listens on.
    #[error("the VM does not say what it listens on")]
    Silent,
    /// The guest is gone.
    #[error("the connection to the VM was lost")]
    Lost,
}

impl Diagnostic for ForwardError {
    fn kind(&self) -> Kind {
        match self {
            Self::Taken { .. } => Kind::Conflict,
            Self::Privileged { .. } => Kind::Usage,
            Self::Timeout { .. } => Kind::Timeout,
            Self::Socket(error) => error.kind(),
            Self::Connect(error) => error.kind(),
            Self::Session(error) => error.kind(),
            Self::Listen { .. } | Self::Refused { .. } | Self::Silent | Self::Lost => Kind::Failed,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Taken { goal, .. } | Self::Privileged { goal, .. } => {
                vec![format!("a free one is chosen and told for `auto:{goal}`")]
            }
            Self::Listen { .. } => vec!["`--bind` takes an address of this machine".to_owned()],
            Self::Refused { listen } if listen.contains('/') => {
                vec![format!("if nobody uses the file any more, remove it there: `rm {listen}`")]
            }
            Self::Refused { .. } => {
                vec!["take another port of the guest, or `auto`; its sshd_config may say `AllowTcpForwarding no`".to_owned()]
            }
            Self::Socket(error) => error.hints(),
            Self::Connect(error) => error.hints(),
            Self::Session(error) => error.hints(),
            Self::Silent => vec!["without `--auto`, name the ports".to_owned()],
            Self::Timeout { .. } | Self::Lost => Vec::new(),
        }
    }
}

//! Why there is no connection.

use std::io;
use std::path::PathBuf;

use crate::diagnostic::{Diagnostic, Kind};
use crate::host::files::FileError;
use crate::vm::endpoint::Endpoint;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody listens, or nobody says anything yet.
    #[error("nothing answers on {address}")]
    Silent {
        /// Where it should have answered.
        address: Endpoint,
        /// The system's reason, where it gave one.
        #[source]
        source: Option<io::Error>,
    },
    /// Somebody else answers.
    #[error(
        "the server on {address} is not the right one: it shows another host key than the one that is kept"
    )]
    WrongServer {
        /// Where it answered.
        address: Endpoint,
    },
    /// The server does not let us in.
    #[error("the server on {address} refuses the login of `{user}`")]
    Refused {
        /// Where it answered.
        address: Endpoint,
        /// The login name.
        user: String,
        /// What was not tried, and why.
        unused: Vec<String>,
    },
    /// There is nothing to log in with.
    #[error("there is no key to log in with on {address}")]
    NoKey {
        /// Where the server is.
        address: Endpoint,
        /// What was looked at, and why it is not used.
        unused: Vec<String>,
    },
    /// The only key is encrypted.
    #[error("the key `{}` is encrypted, and no agent has it", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// No end in time.
    #[error("the server on {address} did not finish the login in time")]
    Timeout {
        /// Where it answered.
        address: Endpoint,
    },
    /// The connection broke.
    #[error("the connection to {address} broke during the login")]
    Broken {
        /// Where it answered.
        address: Endpoint,
        /// The reason.
        #[source]
        source: russh::Error,
    },
    /// A key file cannot be used.
    #[error("the key `{}` cannot be used: {reason}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The key by which the server is to be recognised cannot be used.
    #[error("the host key kept for {address} cannot be used: {reason}")]
    HostKey {
        /// Where the server is.
        address: Endpoint,
        /// What is wrong with it.
        reason: String,
    },
    /// A key file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Diagnostic for ConnectError {
    fn kind(&self) -> Kind {
        match self {
            Self::WrongServer { .. } => Kind::Conflict,
            Self::Timeout { .. } => Kind::Timeout,
            Self::File(error) => error.kind(),
            _ => Kind::Failed,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::WrongServer { .. } => {
                vec!["something else listens on the port; `ai-vm ls` shows which port that is".to_owned()]
            }
            Self::Locked { path } => {
                vec![format!("`ssh-add {}` gives it to the agent", path.display())]
            }
            Self::Refused { unused, .. } => unused.iter().map(|why| format!("not tried: {why}")).collect(),
            Self::NoKey { unused, .. } => {
                let mut hints: Vec<String> = unused.iter().map(|why| format!("not used: {why}")).collect();
                hints.push("give a key to the agent with `ssh-add`, or name a file with `-i`".to_owned());
                hints
            }
            Self::File(error) => error.hints(),
            _ => Vec::new(),
        }
    }
}

impl ConnectError {
    /// Tells whether trying again can help while a guest is booting.
    pub const fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Silent { .. } | Self::Broken { .. } | Self::Refused { .. } | Self::Timeout { .. }
        )
    }
}

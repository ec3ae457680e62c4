//! Connecting: only to the server whose key was made on this machine. No trust on first use.

use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use russh::client::{AuthResult, Config, Handle, Handler};
use russh::keys::{Algorithm, PrivateKey, PrivateKeyWithHashAlg, PublicKey, PublicKeyOrCertificate};
use russh::{Preferred, cipher, compression, kex};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::diagnostic::{Diagnostic, Kind};
use crate::host::files::{self, FileError};

/// How long to wait for a server's first byte before a second connection is tried beside the first. QEMU accepts
/// connections long before a guest does, and one that it accepted too early can stay silent for good.
const STAGGER: Duration = Duration::from_millis(300);

/// The most connections that wait for a first byte. A server turns clients away at random from ten on.
const MAX_WAITING: u32 = 6;

/// A connection on which nothing comes for this long is asked for a sign of life, three times.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// The largest key file that is read, in bytes.
const MAX_KEY: u64 = 16 * 1024;

/// Whom to connect to, and as whom.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Target {
    /// Where the server listens.
    pub address: SocketAddr,
    /// The login name.
    pub user: String,
    /// The file with the private key that may log in.
    pub identity: PathBuf,
    /// The server's public key, as OpenSSH writes it: `ssh-ed25519 AAAA...`.
    pub host_key: String,
}

/// A connection that has been logged in.
pub struct Session {
    pub(super) handle: Handle<Pinned>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody listens, or nobody says anything yet.
    #[error("nothing answers on {address}")]
    Silent {
        /// Where it should have answered.
        address: SocketAddr,
        /// The system's reason, where it gave one.
        #[source]
        source: Option<io::Error>,
    },
    /// Somebody else answers.
    #[error(
        "the server on {address} is not this VM: it shows another host key than the one made for this VM"
    )]
    WrongServer {
        /// Where it answered.
        address: SocketAddr,
    },
    /// The server does not let us in.
    #[error("the server on {address} refuses the login of `{user}`")]
    Refused {
        /// Where it answered.
        address: SocketAddr,
        /// The login name.
        user: String,
    },
    /// No end in time.
    #[error("the server on {address} did not finish the login in time")]
    Timeout {
        /// Where it answered.
        address: SocketAddr,
    },
    /// The connection broke.
    #[error("the connection to {address} broke during the login")]
    Broken {
        /// Where it answered.
        address: SocketAddr,
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
        address: SocketAddr,
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
            Self::Silent { .. }
            | Self::Refused { .. }
            | Self::Broken { .. }
            | Self::Key { .. }
            | Self::HostKey { .. } => Kind::Failed,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::WrongServer { .. } => {
                vec![
                    "something else listens on the VM's port; `ai-vm ls` shows which port that is".to_owned(),
                ]
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

/// Accepts one server key and no other.
pub(super) struct Pinned {
    key: PublicKey,
}

/// Why the connection ended, as the handler tells it.
#[derive(Debug)]
pub(super) enum HandlerError {
    WrongServer,
    Ssh(russh::Error),
}

impl From<russh::Error> for HandlerError {
    fn from(error: russh::Error) -> Self {
        Self::Ssh(error)
    }
}

impl Handler for Pinned {
    type Error = HandlerError;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, HandlerError> {
        match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } if key.key_data() == self.key.key_data() => {
                Ok(true)
            }
            _ => Err(HandlerError::WrongServer),
        }
    }
}

/// Connects, checks the server's key before anything else is said, and logs in; all of it by the deadline. A server
/// that says nothing for as long as `patience` is given up.
pub async fn connect(
    target: &Target,
    patience: Duration,
    deadline: Instant,
) -> Result<Session, ConnectError> {
    let address = target.address;
    let key = PrivateKey::from_openssh(read_key(&target.identity)?).map_err(unusable(&target.identity))?;
    let pinned = PublicKey::from_openssh(&target.host_key)
        .map_err(|error| ConnectError::HostKey { address, reason: error.to_string() })?;
    let stream = reach(address, deadline.min(Instant::now() + patience)).await?;
    let login = async {
        let handler = Pinned { key: pinned };
        let mut handle = russh::client::connect_stream(config(), stream, handler)
            .await
            .map_err(|error| explain(address, error))?;
        let key = PrivateKeyWithHashAlg::new(Arc::new(key), None);
        let broken = |source| ConnectError::Broken { address, source };
        match handle.authenticate_publickey(&target.user, key).await.map_err(broken)? {
            AuthResult::Success => Ok(Session { handle }),
            AuthResult::Failure { .. } => Err(ConnectError::Refused { address, user: target.user.clone() }),
        }
    };
    timeout_at(deadline, login).await.unwrap_or(Err(ConnectError::Timeout { address }))
}

/// Opens a connection on which the server has begun to speak: the first of several that does.
async fn reach(address: SocketAddr, end: Instant) -> Result<TcpStream, ConnectError> {
    let silent = |source| ConnectError::Silent { address, source };
    let stagger = STAGGER.max(end.saturating_duration_since(Instant::now()) / MAX_WAITING);
    let mut waiting = JoinSet::new();
    loop {
        waiting.spawn(first_byte(address));
        tokio::select! {
            Some(Ok(spoke)) = waiting.join_next() => return spoke.map_err(|error| silent(Some(error))),
            () = sleep_until(end.min(Instant::now() + stagger)) => {
                if Instant::now() >= end {
                    return Err(silent(None));
                }
            }
        }
    }
}

async fn first_byte(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    // Small packets are sent at once: waiting for more costs 40 ms at each step of a login.
    stream.set_nodelay(true)?;
    match stream.peek(&mut [0]).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(stream),
    }
}

/// The one kind of host key that ai-vm makes is the only one asked for, so that a server that has another cannot
/// pass as unknown. The key exchange is the one that costs a guest least under emulation.
fn config() -> Arc<Config> {
    Arc::new(Config {
        preferred: Preferred {
            kex: Cow::Borrowed(&[
                kex::CURVE25519,
                kex::CURVE25519_PRE_RFC_8731,
                kex::EXTENSION_SUPPORT_AS_CLIENT,
                kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
            ]),
            key: Cow::Borrowed(&[Algorithm::Ed25519]),
            cipher: Cow::Borrowed(&[cipher::AES_256_GCM, cipher::CHACHA20_POLY1305]),
            compression: Cow::Borrowed(&[compression::NONE]),
            ..Preferred::default()
        },
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: 3,
        nodelay: true,
        ..Config::default()
    })
}

fn explain(address: SocketAddr, error: HandlerError) -> ConnectError {
    match error {
        HandlerError::WrongServer | HandlerError::Ssh(russh::Error::NoCommonAlgo { .. }) => {
            ConnectError::WrongServer { address }
        }
        HandlerError::Ssh(source) => ConnectError::Broken { address, source },
    }
}

fn read_key(path: &Path) -> Result<String, ConnectError> {
    Ok(String::from_utf8_lossy(&files::read_bounded(path, MAX_KEY)?).into_owned())
}

fn unusable<E: std::fmt::Display>(path: &Path) -> impl FnOnce(E) -> ConnectError {
    move |error| ConnectError::Key { path: path.to_owned(), reason: error.to_string() }
}

//! Connecting: only to the server whose key is pinned. No trust on first use.

use std::io;
use std::time::Duration;

use russh::client::Handle;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::ssh::error::ConnectError;
use crate::ssh::host_key::{HostKey, HostKeyError};
use crate::ssh::login::Keys;
use crate::ssh::pinned::{self, Arrival, Pinned};
use crate::ssh::stream::Stream;
use crate::ssh::target::Target;
use crate::vm::endpoint::Endpoint;

/// How long to wait for a server's first byte before a second connection is tried beside the first. QEMU accepts
/// connections long before a guest does, and one that it accepted too early can stay silent for good.
const STAGGER: Duration = Duration::from_millis(300);

/// The most connections that wait for a first byte. A server turns clients away at random from ten on.
const MAX_WAITING: u32 = 6;

/// A connection that has been logged in.
pub struct Session {
    pub(super) handle: Handle<Pinned>,
}

/// Connects and logs in, all of it by the deadline. A server that says nothing for as long as `patience` is given up.
pub async fn connect(
    target: &Target,
    patience: Duration,
    deadline: Instant,
) -> Result<Session, ConnectError> {
    let stream = reach(target, deadline.min(Instant::now() + patience)).await?;
    log_in(stream, target, deadline).await
}

/// Like [`connect`], for a server that is going to listen for us: what arrives there is passed on.
pub(super) async fn connect_for(
    target: &Target,
    patience: Duration,
    deadline: Instant,
    arrivals: mpsc::Sender<Arrival>,
) -> Result<Session, ConnectError> {
    let stream = reach(target, deadline.min(Instant::now() + patience)).await?;
    log_in_for(stream, target, deadline, Some(arrivals)).await
}

/// Opens a connection on which a server, whoever it is, begins to speak before `end`. Nothing has been read from it.
pub async fn reach(target: &Target, end: Instant) -> Result<TcpStream, ConnectError> {
    let address = &target.endpoint;
    if target.accepts_early { reach_first(address, end).await } else { reach_once(address, end).await }
}

/// Checks the server's key before anything else is said, and logs in, all of it by the deadline.
pub async fn log_in(stream: TcpStream, target: &Target, deadline: Instant) -> Result<Session, ConnectError> {
    log_in_for(stream, target, deadline, None).await
}

async fn log_in_for(
    stream: TcpStream,
    target: &Target,
    deadline: Instant,
    arrivals: Option<mpsc::Sender<Arrival>>,
) -> Result<Session, ConnectError> {
    let address = &target.endpoint;
    let keys = Keys::of(target).await?;
    let unusable =
        |error: HostKeyError| ConnectError::HostKey { address: address.clone(), reason: error.to_string() };
    let pinned = Pinned::to(target.host_key.parse::<HostKey>().map_err(unusable)?);
    let pinned = match arrivals {
        Some(arrivals) => pinned.passing_on(arrivals),
        None => pinned,
    };
    let login = async {
        let stream = Stream::new(stream, pinned::SILENCE);
        let mut handle = russh::client::connect_stream(pinned.config(), stream, pinned)
            .await
            .map_err(|error| error.explain(address.clone()))?;
        keys.log_in(&mut handle, target).await?;
        Ok(Session { handle })
    };
    timeout_at(deadline, login)
        .await
        .unwrap_or_else(|_| Err(ConnectError::Timeout { address: address.clone() }))
}

/// Opens connections until the server speaks on one.
async fn reach_first(address: &Endpoint, end: Instant) -> Result<TcpStream, ConnectError> {
    let silent = |source| ConnectError::Silent { address: address.clone(), source };
    let stagger = STAGGER.max(end.saturating_duration_since(Instant::now()) / MAX_WAITING);
    let mut waiting = JoinSet::new();
    loop {
        let address = address.clone();
        waiting.spawn(async move { first_byte(&address).await });
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

/// Opens one connection and waits for the server to speak.
async fn first_byte(address: &Endpoint) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((address.host.as_str(), address.port.get())).await?;
    // Small packets are sent at once: waiting for more costs 40 ms at each step of a login.
    stream.set_nodelay(true)?;
    match stream.peek(&mut [0]).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(stream),
    }
}

/// Opens one connection on which the server speaks before `end`.
pub(super) async fn reach_once(address: &Endpoint, end: Instant) -> Result<TcpStream, ConnectError> {
    let silent = |source| ConnectError::Silent { address: address.clone(), source };
    match timeout_at(end, first_byte(address)).await {
        Ok(spoke) => spoke.map_err(|error| silent(Some(error))),
        Err(_) => Err(silent(None)),
    }
}

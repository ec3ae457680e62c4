//! Where the guest listens and this machine connects. Each has an SSH connection of its own, so that whatever arrives on
//! it is for this one goal, whatever the guest says.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use russh::{ChannelOpenFailure, Error};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout, timeout_at};

use crate::ssh::command::RemoteCommand;
use crate::ssh::connect::{Session, connect_for};
use crate::ssh::direct::LOCALHOST;
use crate::ssh::forward::carry::{Socket, Stalls, carry};
use crate::ssh::forward::error::ForwardError;
use crate::ssh::forward::{Event, FIRST_BYTE, LOGIN, Link, Teller};
use crate::ssh::pinned::Arrival;
use crate::ssh::target::Target;
use crate::vm::forwarding::{Goal, Listen, ReverseForward};
use crate::vm::port::Port;

/// How many connections may wait until this machine has connected for them; further ones are refused.
const WAITING: usize = 64;

/// Where the guest listens. For `localhost` OpenSSH's server is content with one of two families, when somebody else has
/// the port of the other.
const LOOPBACK: &str = "127.0.0.1";

/// How long this machine may take to connect.
const CONNECT: Duration = Duration::from_secs(10);

/// How long the guest may take to clean up.
const CLEAN_UP: Duration = Duration::from_secs(3);

/// A listener in the guest.
pub(super) struct Reverse {
    /// For people.
    pub link: Link,
    listen: Listen,
    goal: Goal,
    session: Arc<Session>,
    arrivals: Option<mpsc::Receiver<Arrival>>,
}

impl Reverse {
    /// Lets the guest listen, on its own loopback.
    pub async fn open(target: &Target, forward: &ReverseForward) -> Result<Self, ForwardError> {
        let deadline = Instant::now() + LOGIN;
        let (sender, arrivals) = mpsc::channel(WAITING);
        let session = connect_for(target, FIRST_BYTE, deadline, sender).await?;
        let wanted = match &forward.listen {
            Listen::Auto => "auto".to_owned(),
            Listen::Port(port) => port.to_string(),
            Listen::Socket(path) => path.display().to_string(),
        };
        let listening = async {
            match &forward.listen {
                Listen::Auto => {
                    let chosen = session.handle.tcpip_forward(LOOPBACK, 0).await?;
                    let port = u16::try_from(chosen).ok().and_then(Port::new);
                    port.map(Listen::Port).ok_or(Error::Inconsistent)
                }
                Listen::Port(port) => {
                    session.handle.tcpip_forward(LOOPBACK, port.get().into()).await?;
                    Ok(Listen::Port(*port))
                }
                Listen::Socket(path) => {
                    session.handle.streamlocal_forward(path.to_string_lossy()).await?;
                    Ok(Listen::Socket(path.clone()))
                }
            }
        };
        let listen = match timeout_at(deadline, listening).await {
            Ok(Ok(listen)) => listen,
            Ok(Err(Error::RequestDenied | Error::Inconsistent)) => {
                return Err(ForwardError::Refused { listen: wanted });
            }
            Ok(Err(_)) => return Err(ForwardError::Lost),
            Err(_) => return Err(ForwardError::Timeout { listen: wanted }),
        };
        let shown = match &listen {
            Listen::Port(port) => port.to_string(),
            _ => wanted,
        };
        let goal = match &forward.goal {
            Goal::Tcp { host: None, port } => format!("{LOCALHOST}:{port}"),
            other => other.to_string(),
        };
        let link = Link { reverse: true, listen: shown, goal };
        let session = Arc::new(session);
        Ok(Self { link, listen, goal: forward.goal.clone(), session, arrivals: Some(arrivals) })
    }

    /// Returns its SSH connection.
    pub fn session(&self) -> Arc<Session> {
        Arc::clone(&self.session)
    }

    /// Returns the port on which the guest listens, if it is one.
    pub fn port(&self) -> Option<Port> {
        match self.listen {
            Listen::Port(port) => Some(port),
            _ => None,
        }
    }

    /// Leads what arrives to its goal, until the connection ends.
    pub fn serve(&mut self, permits: Arc<Semaphore>, teller: Teller) -> impl Future<Output = ()> + use<> {
        let (goal, link) = (self.goal.clone(), self.link.clone());
        let arrivals = self.arrivals.take();
        async move {
            let Some(mut arrivals) = arrivals else { return };
            let (refused, stalls) = (Arc::new(AtomicBool::new(false)), Stalls::default());
            while let Some(Arrival { channel, reply }) = arrivals.recv().await {
                let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
                    reply.reject(ChannelOpenFailure::ResourceShortage).await;
                    continue;
                };
                let (goal, link, stalls) = (goal.clone(), link.clone(), stalls.clone());
                let (teller, refused) = (Arc::clone(&teller), Arc::clone(&refused));
                tokio::spawn(async move {
                    match reach(&goal).await {
                        Ok(socket) => {
                            refused.store(false, Ordering::Relaxed);
                            reply.accept().await;
                            carry(socket, channel, &stalls).await;
                        }
                        Err(error) => {
                            reply.reject(ChannelOpenFailure::ConnectFailed).await;
                            if !refused.swap(true, Ordering::Relaxed) {
                                teller(Event::Refused(link, error.to_string()));
                            }
                        }
                    }
                    drop(permit);
                });
            }
        }
    }

    /// Lets the guest listen no longer. OpenSSH's server leaves the file of a Unix socket behind.
    pub async fn end(self) {
        let Listen::Socket(path) = &self.listen else { return };
        let deadline = Instant::now() + CLEAN_UP;
        let cancelled = self.session.handle.cancel_streamlocal_forward(path.to_string_lossy());
        // A guest that does not answer keeps the file.
        if let Ok(Ok(())) = timeout_at(deadline, cancelled).await {
            let argv = vec!["rm".into(), "-f".into(), "--".into(), path.clone().into_os_string()];
            if let Ok(command) = (RemoteCommand { argv, ..RemoteCommand::default() }).encode() {
                let _ = self.session.capture(&command.line, deadline).await;
            }
        }
    }
}

/// Connects from this machine.
async fn reach(goal: &Goal) -> io::Result<Socket> {
    let connecting = async {
        match goal {
            Goal::Tcp { host, port } => {
                let host = host.as_ref().map_or(LOCALHOST, |host| host.as_str());
                Ok(Socket::Tcp(TcpStream::connect((host, port.get())).await?))
            }
            Goal::Socket(path) => Ok(Socket::Unix(UnixStream::connect::<&Path>(path).await?)),
        }
    };
    timeout(CONNECT, connecting).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

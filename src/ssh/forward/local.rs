//! Where this machine listens and the guest connects.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::time::sleep;

use crate::host::files::failed;
use crate::host::listeners;
use crate::host::public_socket::{PublicSocket, SocketError};
use crate::ssh::forward::carry::{Socket, carry};
use crate::ssh::forward::error::ForwardError;
use crate::ssh::forward::lanes::Lanes;
use crate::ssh::forward::{Event, Link, Teller};
use crate::vm::forwarding::{Goal, Listen, LocalForward};
use crate::vm::port::Port;

/// The pause when the system has no descriptor left for a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// A socket that listens, and where what it accepts is led to.
#[derive(Debug)]
pub struct Listener {
    /// For people.
    pub link: Link,
    goal: Goal,
    socket: Listening,
}

#[derive(Debug)]
enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener, #[expect(dead_code, reason = "held to be dropped")] PublicSocket),
}

impl Listener {
    /// Listens, on TCP at this address; accepts nothing yet. It must be called within the runtime.
    pub fn open(forward: &LocalForward, bind: IpAddr) -> Result<Self, ForwardError> {
        let LocalForward { listen, goal } = forward;
        let (socket, listen) = match listen {
            Listen::Auto => tcp(listen_somewhere(goal, bind)),
            Listen::Port(port) => tcp(std::net::TcpListener::bind((bind, port.get()))),
            Listen::Socket(path) => {
                let (listener, file) = PublicSocket::listen(path)?;
                let ready = listener.set_nonblocking(true).and_then(|()| UnixListener::from_std(listener));
                let listener = ready.map_err(failed("listen on", path)).map_err(SocketError::from)?;
                Ok((Listening::Unix(listener, file), path.display().to_string()))
            }
        }
        .map_err(|error| explain(error, listen, goal, bind))?;
        Ok(Self { link: Link { reverse: false, listen, goal: goal.to_string() }, goal: goal.clone(), socket })
    }

    /// Returns the TCP port, if it is one.
    pub(super) fn port(&self) -> Option<Port> {
        match &self.socket {
            Listening::Tcp(listener) => Port::new(listener.local_addr().ok()?.port()),
            Listening::Unix(..) => None,
        }
    }

    /// Accepts connections and leads them to the guest, for ever.
    pub(super) async fn serve(self, lanes: Arc<Lanes>, teller: Teller) {
        let refused = Arc::new(AtomicBool::new(false));
        loop {
            // The semaphore is never closed.
            let Ok(permit) = lanes.permits().acquire_owned().await else { return };
            let Ok(socket) = self.accept().await else {
                sleep(PAUSE).await;
                continue;
            };
            let (goal, link) = (self.goal.clone(), self.link.clone());
            let (lanes, teller, refused) = (Arc::clone(&lanes), Arc::clone(&teller), Arc::clone(&refused));
            // It outlives the listener.
            tokio::spawn(async move {
                match lanes.open(&goal).await {
                    Ok((lane, channel)) => {
                        refused.store(false, Ordering::Relaxed);
                        carry(socket, channel, &lane.stalls).await;
                    }
                    Err(error) => {
                        if !refused.swap(true, Ordering::Relaxed) {
                            teller(Event::Refused(link, error.to_string()));
                        }
                    }
                }
                drop(permit);
            });
        }
    }

    async fn accept(&self) -> io::Result<Socket> {
        match &self.socket {
            Listening::Tcp(listener) => Ok(Socket::Tcp(listener.accept().await?.0)),
            Listening::Unix(listener, _) => Ok(Socket::Unix(listener.accept().await?.0)),
        }
    }
}

fn tcp(listener: io::Result<std::net::TcpListener>) -> io::Result<(Listening, String)> {
    let listener = listener?;
    listener.set_nonblocking(true)?;
    let address: SocketAddr = listener.local_addr()?;
    Ok((Listening::Tcp(TcpListener::from_std(listener)?), address.to_string()))
}

/// Listens on the port's own number where that is free and not privileged, else on any.
fn listen_somewhere(goal: &Goal, bind: IpAddr) -> io::Result<std::net::TcpListener> {
    let any = || std::net::TcpListener::bind((bind, 0));
    match goal {
        Goal::Tcp { port, .. } if !port.is_privileged() => {
            std::net::TcpListener::bind((bind, port.get())).or_else(|_| any())
        }
        _ => any(),
    }
}

fn explain(error: io::Error, listen: &Listen, goal: &Goal, bind: IpAddr) -> ForwardError {
    let goal = goal.to_string();
    match (error.kind(), listen) {
        (io::ErrorKind::AddrInUse, &Listen::Port(port)) => {
            let holder = holder(bind, port);
            ForwardError::Taken { bind, port, holder, goal }
        }
        (io::ErrorKind::PermissionDenied, &Listen::Port(port)) => ForwardError::Privileged { port, goal },
        _ => ForwardError::Listen { bind, source: error },
    }
}

fn holder(bind: IpAddr, port: Port) -> String {
    listeners::Listeners::now().holder(bind, port).unwrap_or_else(|| "something else".to_owned())
}

//! A server that speaks SSH well, up to the point where the test wants it otherwise.

use std::future::Future;
use std::io;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use ai_vm::ssh::keys::{KeyPair, generate};
use russh::keys::PrivateKey;
use russh::server::{
    Auth, ChannelOpenHandle, Config, Handle, Handler, Msg, Session, VerifiedPublicKey, run_stream,
};
use russh::{Channel, ChannelId, Error, Limits};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

type Script = Arc<dyn Fn(Handle, ChannelId) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// What the server does, and where.
#[derive(Clone)]
pub enum Act {
    /// Hangs up when somebody logs in.
    HangUpAtLogin,
    /// Does not answer a login, nor refuse it.
    IgnoreLogin,
    /// Refuses every login, after a banner of this many bytes.
    Refuse(usize),
    /// Lets in and hangs up.
    HangUpAfterLogin,
    /// Does not answer when a channel is to be opened.
    IgnoreChannel,
    /// Refuses to open a channel.
    RefuseChannel,
    /// Opens a channel and hangs up when something is to run on it.
    HangUpAtCommand,
    /// Does not answer when something is to run.
    IgnoreCommand,
    /// Refuses to run anything.
    RefuseCommand,
    /// Says that the command runs and may send as much as it likes, and takes nothing any more.
    GoDeaf,
    /// Says that the command runs, and then does this.
    Run(Script),
    /// Listens when asked to, lets this many connections arrive there at once, and hangs up when all are answered.
    Arrive(usize),
}

/// Says that the command runs, and then does this.
pub fn run<F: Future<Output = ()> + Send + 'static>(
    script: impl Fn(Handle, ChannelId) -> F + Send + Sync + 'static,
) -> Act {
    Act::Run(Arc::new(move |handle, id| Box::pin(script(handle, id))))
}

/// What is wrong with the way from the server, counted in bytes of one connection.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// It ends.
    Cut(usize),
    /// One byte has another bit.
    Flip(usize),
}

/// A server that has been started. It ends with the tests.
pub struct Server {
    pub port: u16,
    pub host: KeyPair,
    /// How much the last connection has carried from the server.
    pub sent: Arc<AtomicUsize>,
    /// What is wrong with the next connections.
    pub fault: Arc<Mutex<Option<Fault>>>,
}

/// Starts a server.
pub fn serve(act: Act) -> Server {
    serve_with(act, Limits::default())
}

/// Starts a server that changes its keys as often as the limits say.
pub fn serve_with(act: Act, limits: Limits) -> Server {
    let host = generate("host").unwrap();
    let config = Arc::new(Config {
        keys: vec![PrivateKey::from_openssh(&host.private).unwrap()],
        auth_rejection_time: Duration::ZERO,
        limits,
        nodelay: true,
        window_size: match act {
            Act::GoDeaf => 1 << 30,
            _ => Config::default().window_size,
        },
        ..Config::default()
    });
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sent, fault) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(None)));
    let server = Server { port, host, sent: Arc::clone(&sent), fault: Arc::clone(&fault) };
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                tcp.set_nodelay(true).unwrap();
                sent.store(0, Ordering::Relaxed);
                let deaf = Arc::new(AtomicBool::new(false));
                let way = Way {
                    tcp,
                    sent: Arc::clone(&sent),
                    fault: *fault.lock().unwrap(),
                    deaf: Arc::clone(&deaf),
                };
                let actor = Actor { act: act.clone(), kept: Vec::new(), deaf };
                let config = Arc::clone(&config);
                tokio::spawn(async move {
                    if let Ok(session) = run_stream(config, way, actor).await {
                        let _ = session.await;
                    }
                });
            }
        });
    });
    server
}

struct Actor {
    act: Act,
    /// What is neither answered nor refused: dropped, it would be refused.
    kept: Vec<ChannelOpenHandle>,
    /// Whether nothing is to be taken any more.
    deaf: Arc<AtomicBool>,
}

impl Handler for Actor {
    type Error = Error;

    async fn auth_publickey(&mut self, _: &str, _: VerifiedPublicKey<'_>) -> Result<Auth, Error> {
        match self.act {
            Act::HangUpAtLogin => Err(Error::Disconnect),
            Act::IgnoreLogin => std::future::pending().await,
            Act::Refuse(_) => Ok(Auth::reject()),
            _ => Ok(Auth::Accept),
        }
    }

    async fn authentication_banner(&mut self) -> Result<Option<String>, Error> {
        match self.act {
            Act::Refuse(length) => Ok(Some("\u{1b}[31mhello ".repeat(length / 11))),
            _ => Ok(None),
        }
    }

    async fn auth_succeeded(&mut self, session: &mut Session) -> Result<(), Error> {
        if matches!(self.act, Act::HangUpAfterLogin) {
            let handle = session.handle();
            tokio::spawn(async move {
                let _ =
                    handle.disconnect(russh::Disconnect::ByApplication, String::new(), String::new()).await;
            });
        }
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        _: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        match self.act {
            Act::IgnoreChannel => self.kept.push(reply),
            Act::RefuseChannel => drop(reply),
            _ => reply.accept().await,
        }
        Ok(())
    }

    async fn tcpip_forward(&mut self, _: &str, port: &mut u32, session: &mut Session) -> Result<bool, Error> {
        let Act::Arrive(count) = self.act else { return Ok(false) };
        *port = 4711;
        let handle = session.handle();
        tokio::spawn(async move {
            let mut arriving = tokio::task::JoinSet::new();
            for _ in 0..count {
                let handle = handle.clone();
                // What it says about them is not what it was asked for.
                arriving
                    .spawn(async move { handle.channel_open_forwarded_tcpip("elsewhere", 1, "x", 2).await });
            }
            let accepted = arriving.join_all().await.into_iter().filter(Result::is_ok).count();
            assert_eq!(accepted, 0, "there is nothing that they could have reached");
            let bye = russh::Disconnect::ByApplication;
            let _ = handle.disconnect(bye, String::new(), String::new()).await;
        });
        Ok(true)
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        _: &[u8],
        session: &mut Session,
    ) -> Result<(), Error> {
        self.begin(channel, session)
    }

    async fn shell_request(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Error> {
        self.begin(channel, session)
    }
}

impl Actor {
    fn begin(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Error> {
        match &self.act {
            Act::HangUpAtCommand => return Err(Error::Disconnect),
            Act::IgnoreCommand => {}
            Act::GoDeaf => {
                session.channel_success(channel)?;
                self.deaf.store(true, Ordering::Relaxed);
            }
            Act::RefuseCommand => session.channel_failure(channel)?,
            Act::Run(script) => {
                session.channel_success(channel)?;
                tokio::spawn(script(session.handle(), channel));
            }
            _ => panic!("the command was not to come this far"),
        }
        Ok(())
    }
}

/// A connection with a fault.
struct Way {
    tcp: TcpStream,
    sent: Arc<AtomicUsize>,
    fault: Option<Fault>,
    deaf: Arc<AtomicBool>,
}

impl AsyncRead for Way {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.deaf.load(Ordering::Relaxed) {
            true => Poll::Pending,
            false => Pin::new(&mut self.tcp).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Way {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let before = self.sent.load(Ordering::Relaxed);
        let mut bytes = bytes.to_vec();
        match self.fault {
            Some(Fault::Cut(at)) if at <= before => {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            Some(Fault::Cut(at)) => bytes.truncate(at - before),
            Some(Fault::Flip(at)) => {
                if let Some(byte) = at.checked_sub(before).and_then(|at| bytes.get_mut(at)) {
                    *byte ^= 0x10;
                }
            }
            None => {}
        }
        let written = Pin::new(&mut self.tcp).poll_write(cx, &bytes);
        if let Poll::Ready(Ok(count)) = written {
            self.sent.fetch_add(count, Ordering::Relaxed);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

//! One connection: its bytes, and the ends of both directions, between a socket here and a channel to the guest.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::sleep;

/// How much is read at once, in bytes: one SSH packet.
const CHUNK: usize = 32 * 1024;

/// How long a socket may take nothing before its connection counts as one that stands still.
pub(super) const STALL: Duration = Duration::from_millis(250);

/// A socket here.
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

type Reader = Box<dyn AsyncRead + Send + Unpin>;
type Writer = Box<dyn AsyncWrite + Send + Unpin>;

impl Socket {
    fn split(self) -> (Reader, Writer) {
        match self {
            Self::Tcp(stream) => {
                // Small packets are sent at once; without that they are merely slower.
                let _ = stream.set_nodelay(true);
                let (reader, writer) = stream.into_split();
                (Box::new(reader), Box::new(writer))
            }
            Self::Unix(stream) => {
                let (reader, writer) = stream.into_split();
                (Box::new(reader), Box::new(writer))
            }
        }
    }
}

/// How many connections stand still that share one SSH connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Stalls(Arc<AtomicUsize>);

/// One of them, for as long as it does.
struct Stalled(Stalls);

impl Stalls {
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn enter(&self) -> Stalled {
        self.0.fetch_add(1, Ordering::Relaxed);
        Stalled(self.clone())
    }
}

impl Drop for Stalled {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Carries a connection until both directions have ended or one of them has broken.
pub(super) async fn carry(socket: Socket, channel: Channel<Msg>, stalls: &Stalls) {
    let (reader, writer) = socket.split();
    let (mut from_guest, to_guest) = channel.split();
    let mut receiving = std::pin::pin!(receive(&mut from_guest, writer, stalls));
    let mut sending = std::pin::pin!(send(reader, &to_guest));
    let mut all_sent = false;
    let closed = loop {
        tokio::select! {
            closed = &mut receiving => break closed,
            sent = &mut sending, if !all_sent => match sent {
                Ok(()) => all_sent = true,
                Err(_) => break false,
            },
        }
    };
    if !closed {
        // Nobody is left to be told.
        let _ = to_guest.close().await;
    }
}

/// Sends what the socket has to say and then its end.
async fn send(mut reader: Reader, to_guest: &ChannelWriteHalf<Msg>) -> io::Result<()> {
    let lost = |_| io::Error::from(io::ErrorKind::BrokenPipe);
    loop {
        // A fresh buffer each time, because russh keeps what it is given until it is sent.
        let mut chunk = BytesMut::with_capacity(CHUNK);
        if reader.read_buf(&mut chunk).await? == 0 {
            return to_guest.eof().await.map_err(lost);
        }
        to_guest.data_bytes(chunk.freeze()).await.map_err(lost)?;
    }
}

/// Passes on what the guest says and the end of it. Returns whether the guest has closed the channel.
async fn receive(from_guest: &mut ChannelReadHalf, mut writer: Writer, stalls: &Stalls) -> bool {
    loop {
        match from_guest.wait().await {
            Some(ChannelMsg::Data { data }) => {
                if write(&mut writer, &data, stalls).await.is_err() {
                    return false;
                }
            }
            Some(ChannelMsg::Eof) => {
                if writer.shutdown().await.is_err() {
                    return false;
                }
            }
            Some(ChannelMsg::Close) | None => return true,
            Some(_) => {}
        }
    }
}

async fn write(writer: &mut Writer, data: &Bytes, stalls: &Stalls) -> io::Result<()> {
    let mut writing = std::pin::pin!(writer.write_all(data));
    tokio::select! {
        written = &mut writing => return written,
        () = sleep(STALL) => {}
    }
    let _stalled = stalls.enter();
    writing.await
}

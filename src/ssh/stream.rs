//! A TCP connection that breaks when the other side takes nothing for too long, and that is quick in both directions.
//!
//! russh's own keepalive does not see the first: its loop stands still while it writes.
//!
//! russh reads each packet in two parts, its length and the rest, so reads go through a buffer. And a server holds a
//! small packet back until the one before it has been acknowledged, which the kernel here puts off for 40 ms while there
//! is nothing to send: just when a copy waits for its window to grow. So small packets are acknowledged at once.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use rustix::net::sockopt::set_tcp_quickack;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// How much is read at once, in bytes: two packets of data.
const BUFFER: usize = 64 * 1024;

/// What is not longer than this, in bytes, has no data that others would follow by themselves.
const SMALL: usize = 1024;

/// A connection with an end to its patience.
pub struct Stream {
    tcp: TcpStream,
    /// What has been read and not been asked for yet.
    read: BytesMut,
    patience: Duration,
    /// Runs out when what is to be written has waited for long enough; there is none while nothing waits.
    waited: Option<Pin<Box<Sleep>>>,
}

impl Stream {
    /// Wraps a connection; a write that makes no progress for as long as `patience` fails.
    pub fn new(tcp: TcpStream, patience: Duration) -> Self {
        Self { tcp, read: BytesMut::new(), patience, waited: None }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { tcp, read, .. } = &mut *self;
        if read.is_empty() {
            read.reserve(BUFFER);
            let mut reading = std::pin::pin!(tcp.read_buf(read));
            ready!(reading.as_mut().poll(cx))?;
            if read.len() <= SMALL {
                // It is only slower without.
                let _ = set_tcp_quickack(&*tcp, true);
            }
        }
        let count = read.len().min(buf.remaining());
        buf.put_slice(read.get(..count).unwrap_or_default());
        read.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let Self { tcp, patience, waited, .. } = &mut *self;
        // The write comes first: a process that was stopped for long has not waited for the other side.
        if let Poll::Ready(written) = Pin::new(tcp).poll_write(cx, buf) {
            *waited = None;
            return Poll::Ready(written);
        }
        let waited = waited.get_or_insert_with(|| Box::pin(sleep(*patience)));
        waited.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn who_takes_nothing_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let _silent = listener.accept().await.unwrap();
        let mut stream = Stream::new(tcp, Duration::from_millis(50));
        let error = stream.write_all(&vec![0; 64 << 20]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}

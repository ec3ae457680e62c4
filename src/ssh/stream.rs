//! A TCP connection that breaks when the other side takes nothing for too long.
//!
//! russh's own keepalive does not see that: its loop stands still while it writes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// A connection with an end to its patience.
pub struct Stream {
    tcp: TcpStream,
    patience: Duration,
    /// Runs out when what is to be written has waited for long enough; there is none while nothing waits.
    waited: Option<Pin<Box<Sleep>>>,
}

impl Stream {
    /// Wraps a connection; a write that makes no progress for as long as `patience` fails.
    pub const fn new(tcp: TcpStream, patience: Duration) -> Self {
        Self { tcp, patience, waited: None }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let Self { tcp, patience, waited } = &mut *self;
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

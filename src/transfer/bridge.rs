//! Between a program's streams, which are asynchronous, and threads that read and write files: short queues, so that
//! memory stays flat and each side waits for the other.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::ssh::program::Sink;
use crate::transfer::watch::Watch;

/// How many chunks wait in a queue.
const QUEUE: usize = 8;

/// How large a chunk that is sent is, in bytes: SSH has packets of this size.
const CHUNK: usize = 32 * 1024;

/// Whether bytes move between a thread and a guest, and who is waited for.
#[derive(Debug, Default)]
pub struct Flow {
    moved: AtomicU64,
    waiting: AtomicBool,
    complete: AtomicBool,
}

impl Flow {
    /// Does something that waits for the guest.
    fn wait<T>(&self, work: impl FnOnce() -> T) -> T {
        self.waiting.store(true, Ordering::Relaxed);
        let done = work();
        self.waiting.store(false, Ordering::Relaxed);
        self.moved.fetch_add(1, Ordering::Relaxed);
        done
    }

    /// Says that everything has been sent; the guest may take longer for what it does with it then.
    pub fn complete(&self) {
        self.complete.store(true, Ordering::Relaxed);
    }

    /// Returns when the guest has been waited for in vain for this long, or for `at_end` after everything was sent.
    pub async fn stalled(&self, patience: Duration, at_end: Duration) -> Duration {
        let mut seen = (self.moved.load(Ordering::Relaxed), Instant::now());
        loop {
            sleep(Duration::from_millis(500)).await;
            let moved = self.moved.load(Ordering::Relaxed);
            let complete = self.complete.load(Ordering::Relaxed);
            if moved != seen.0 || !(complete || self.waiting.load(Ordering::Relaxed)) {
                seen = (moved, Instant::now());
            }
            let patience = if complete { at_end } else { patience };
            if seen.1.elapsed() >= patience {
                return patience;
            }
        }
    }
}

/// Writes to a program's stdin, from a thread. Dropped, the input ends.
pub struct ToGuest {
    queue: mpsc::Sender<Bytes>,
    chunk: BytesMut,
    flow: Arc<Flow>,
    watch: Arc<Watch>,
}

/// Returns a program's stdin and what writes to it.
pub fn to_guest(flow: Arc<Flow>, watch: Arc<Watch>) -> (ToGuest, mpsc::Receiver<Bytes>) {
    let (queue, receiver) = mpsc::channel(QUEUE);
    (ToGuest { queue, chunk: BytesMut::with_capacity(CHUNK), flow, watch }, receiver)
}

impl Write for ToGuest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(CHUNK - self.chunk.len());
        self.chunk.extend_from_slice(bytes.get(..count).unwrap_or_default());
        if self.chunk.len() == CHUNK {
            self.flush()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.watch.is_cancelled() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if !self.chunk.is_empty() {
            let chunk = std::mem::replace(&mut self.chunk, BytesMut::with_capacity(CHUNK)).freeze();
            self.watch.add(chunk.len());
            let sent = self.flow.wait(|| self.queue.blocking_send(chunk));
            sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        }
        Ok(())
    }
}

/// Reads what a program writes to stdout, in a thread. Ends when the program has, for whatever reason.
pub struct FromGuest {
    queue: mpsc::Receiver<Bytes>,
    rest: Bytes,
    flow: Arc<Flow>,
    watch: Arc<Watch>,
}

/// The other end of a [`FromGuest`].
pub struct ToReader(mpsc::Sender<Bytes>);

/// Returns what takes a program's stdout and what reads it.
pub fn from_guest(flow: Arc<Flow>, watch: Arc<Watch>) -> (ToReader, FromGuest) {
    let (sender, queue) = mpsc::channel(QUEUE);
    (ToReader(sender), FromGuest { queue, rest: Bytes::new(), flow, watch })
}

impl Sink for ToReader {
    async fn write(&mut self, chunk: Bytes) -> bool {
        self.0.send(chunk).await.is_ok()
    }

    async fn finish(self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for FromGuest {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.flow.wait(|| self.queue.blocking_recv()) {
                Some(chunk) => {
                    self.watch.add(chunk.len());
                    self.rest = chunk;
                }
                None => return Ok(0),
            }
        }
        let count = self.rest.len().min(buffer.len());
        let part = self.rest.split_to(count);
        buffer.get_mut(..count).unwrap_or_default().copy_from_slice(&part);
        Ok(count)
    }
}

/// Keeps the beginning of what a program writes.
#[derive(Clone, Debug)]
pub struct Kept {
    bytes: Arc<Mutex<Vec<u8>>>,
    limit: usize,
}

impl Kept {
    /// Keeps at most so many bytes.
    pub fn up_to(limit: usize) -> Self {
        Self { bytes: Arc::default(), limit }
    }

    /// Returns what has been kept, as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Sink for Kept {
    async fn write(&mut self, chunk: Bytes) -> bool {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let room = (self.limit - bytes.len()).min(chunk.len());
        bytes.extend_from_slice(chunk.get(..room).unwrap_or_default());
        true
    }

    async fn finish(self) -> io::Result<()> {
        Ok(())
    }
}

//! This process's own streams beside an asynchronous session: blocking reads and writes in threads, a bounded queue
//! in between, so that memory stays flat and the descriptors that others share are never made non-blocking.

use std::io::{self, Read, Write};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::ssh::program::Sink;

/// How much is read at once, in bytes: one SSH packet.
const CHUNK: usize = 32 * 1024;

/// How many chunks may wait on their way.
const QUEUE: usize = 16;

/// Reads stdin in a thread until its end. The thread sits in a read until the process ends, if nobody types.
pub fn stdin() -> mpsc::Receiver<Bytes> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    std::thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        let mut buffer = vec![0; CHUNK];
        loop {
            match stdin.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => {
                    let chunk = Bytes::copy_from_slice(buffer.get(..count).unwrap_or_default());
                    if sender.blocking_send(chunk).is_err() {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A stdin that cannot be read, such as a closed one, has no more to give.
                Err(_) => return,
            }
        }
    });
    receiver
}

/// One of this process's output streams, written by a thread.
pub struct Output {
    queue: mpsc::Sender<Bytes>,
    thread: std::thread::JoinHandle<io::Result<()>>,
}

impl Output {
    /// Returns a way for others to write whole chunks to the same stream.
    pub fn share(&self) -> mpsc::Sender<Bytes> {
        self.queue.clone()
    }
}

/// Writes to a stream in a thread.
pub fn output(mut stream: impl Write + Send + 'static) -> Output {
    let (queue, mut chunks) = mpsc::channel::<Bytes>(QUEUE);
    let thread = std::thread::spawn(move || {
        while let Some(chunk) = chunks.blocking_recv() {
            stream.write_all(&chunk)?;
            if chunks.is_empty() {
                stream.flush()?;
            }
        }
        stream.flush()
    });
    Output { queue, thread }
}

impl Sink for Output {
    async fn write(&mut self, chunk: Bytes) -> bool {
        self.queue.send(chunk).await.is_ok()
    }

    async fn finish(self) -> io::Result<()> {
        drop(self.queue);
        let thread = self.thread;
        let joined = tokio::task::spawn_blocking(move || thread.join()).await;
        joined.map_or_else(|_| Err(io::ErrorKind::Other.into()), |result| result.unwrap_or(Ok(())))
    }
}

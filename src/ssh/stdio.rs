//! This process's own streams beside an asynchronous session: blocking reads and writes in threads, a bounded queue
//! in between, so that memory stays flat and the descriptors that others share are never made non-blocking.

use std::io::{self, Read, Write};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::host::files;
use crate::ssh::program::Sink;

/// How much is read at once, in bytes: one SSH packet.
const CHUNK: usize = 32 * 1024;

/// How many chunks may wait on their way.
const QUEUE: usize = 16;

/// Reads stdin in a thread until its end. The thread sits in a read until the process ends, if nobody types.
pub fn stdin() -> mpsc::Receiver<Bytes> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    // What programs give their children that are to read nothing, and no thread is needed to find that out.
    if files::is_null_device(io::stdin()) {
        return receiver;
    }
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

/// Hands an input over that is there whole, as fast as the program reads it. It must be called within the runtime.
pub fn whole(input: Bytes) -> mpsc::Receiver<Bytes> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    if !input.is_empty() {
        tokio::spawn(async move {
            let mut rest = input;
            while !rest.is_empty() {
                let chunk = rest.split_to(CHUNK.min(rest.len()));
                if sender.send(chunk).await.is_err() {
                    return;
                }
            }
        });
    }
    receiver
}

/// One of this process's output streams, written by a thread.
pub struct Output {
    queue: mpsc::Sender<Bytes>,
    ended: oneshot::Receiver<io::Result<()>>,
}

impl Output {
    /// Waits until nothing more can be written: the reader has left.
    pub async fn closed(&self) {
        self.queue.closed().await;
    }

    /// Returns a way for others to write whole chunks to the same stream.
    pub fn share(&self) -> mpsc::Sender<Bytes> {
        self.queue.clone()
    }
}

/// Writes to a stream in a thread, which begins with the first chunk: many a command says nothing on one stream or on
/// both, and threads are what a command over a kept connection spends most of its own time on. It must be called
/// within the runtime.
pub fn output(stream: impl Write + Send + 'static) -> Output {
    let (queue, mut chunks) = mpsc::channel::<Bytes>(QUEUE);
    let (end, ended) = oneshot::channel();
    tokio::spawn(async move {
        let Some(first) = chunks.recv().await else {
            let _ = end.send(Ok(()));
            return;
        };
        // Nobody waits for the end of a stream that is given up.
        std::thread::spawn(move || end.send(write(stream, first, chunks)));
    });
    Output { queue, ended }
}

fn write(mut stream: impl Write, first: Bytes, mut chunks: mpsc::Receiver<Bytes>) -> io::Result<()> {
    let mut next = Some(first);
    while let Some(chunk) = next {
        stream.write_all(&chunk)?;
        if chunks.is_empty() {
            stream.flush()?;
        }
        next = chunks.blocking_recv();
    }
    stream.flush()
}

impl Sink for Output {
    async fn write(&mut self, chunk: Bytes) -> bool {
        self.queue.send(chunk).await.is_ok()
    }

    async fn finish(self) -> io::Result<()> {
        drop(self.queue);
        self.ended.await.unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
    }
}

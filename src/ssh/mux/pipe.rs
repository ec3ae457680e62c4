//! Pipes between the holder and a command, as the ends of a program's streams.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::sync::mpsc;

use crate::ssh::program::Sink;

/// How much is read at once, in bytes: one SSH packet.
const CHUNK: usize = 32 * 1024;

/// How many chunks may wait on their way.
const QUEUE: usize = 16;

/// Reads a pipe until its end.
pub fn source(mut pipe: pipe::Receiver) -> mpsc::Receiver<Bytes> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(CHUNK);
            let chunk = match pipe.read_buf(&mut buffer).await {
                Ok(1..) => buffer.split().freeze(),
                // A pipe that fails has no more to give.
                Ok(0) | Err(_) => return,
            };
            if sender.send(chunk).await.is_err() {
                return;
            }
        }
    });
    receiver
}

/// Passes what a pipe gives on until its end; false when the reader has gone away.
pub async fn drain(mut pipe: pipe::Receiver, sink: &mut impl Sink) -> bool {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(CHUNK);
        match pipe.read_buf(&mut buffer).await {
            Ok(1..) => {
                if !sink.write(buffer.split().freeze()).await {
                    return false;
                }
            }
            Ok(0) | Err(_) => return true,
        }
    }
}

/// Writes input into a pipe until its end.
pub async fn fill(mut pipe: pipe::Sender, mut input: mpsc::Receiver<Bytes>) {
    while let Some(chunk) = input.recv().await {
        if pipe.write_all(&chunk).await.is_err() {
            return;
        }
    }
}

impl Sink for pipe::Sender {
    async fn write(&mut self, chunk: Bytes) -> bool {
        self.write_all(&chunk).await.is_ok()
    }

    async fn finish(self) -> io::Result<()> {
        Ok(())
    }
}

//! A connection that is only carried: between a server and this process's stdin and stdout, whatever is said on it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::ssh::pinned::SILENCE;

/// How much is copied at once, in bytes: what a pipe holds.
const CHUNK: usize = 64 * 1024;

/// How often it is looked whether the other direction has broken.
const LOOK: Duration = Duration::from_secs(1);

/// Carries bytes until the server ends the connection, or nobody reads stdout any more. When stdin ends the server is
/// told so, and has as long to go on as any silent server has.
///
/// Blocks. The thread that reads stdin sits in its read until the process ends, if nobody writes.
pub fn carry(server: &TcpStream) -> io::Result<()> {
    server.set_nonblocking(false)?;
    server.set_read_timeout(Some(LOOK))?;
    // What the server does not take for as long as that, it never will.
    server.set_write_timeout(Some(SILENCE))?;
    let no_more_input = Arc::new(AtomicBool::new(false));
    // The descriptors themselves: the library's streams would look for the ends of lines.
    let mut stdin = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let (to_server, ended) = (server.try_clone()?, Arc::clone(&no_more_input));
    std::thread::spawn(move || {
        // However it ends, the other direction finds out: by the server's end, or by its silence.
        let _ = copy(&mut stdin, &to_server);
        let _ = to_server.shutdown(Shutdown::Write);
        ended.store(true, Ordering::Relaxed);
    });
    let mut buffer = vec![0; CHUNK];
    let mut heard = Instant::now();
    loop {
        match { server }.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                stdout.write_all(buffer.get(..count).unwrap_or_default())?;
                heard = Instant::now();
            }
            Err(error) if is_pause(&error) => {
                if no_more_input.load(Ordering::Relaxed) && heard.elapsed() > SILENCE {
                    return Err(io::ErrorKind::TimedOut.into());
                }
            }
            Err(error) => return Err(error),
        }
    }
}

/// Copies until one side ends.
fn copy(from: &mut impl Read, mut to: &TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => to.write_all(buffer.get(..count).unwrap_or_default())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Tells whether a read ended without anything having gone wrong.
fn is_pause(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), Interrupted | TimedOut | WouldBlock)
}

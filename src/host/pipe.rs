//! Programs whose output is taken as it comes, or who talk to somebody by their streams; always under a deadline.

use std::io::{self, Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::host::process::{GRACE, Running, collect};
use crate::host::program::{ProcessError, ending, short_name};

/// How much is read at a time, in bytes.
const CHUNK: usize = 32 * 1024;

/// How a program that talked to somebody ended.
#[derive(Debug)]
pub struct Talked {
    /// Whether it was content.
    pub success: bool,
    /// What it wrote to stderr, the first few MiB of it.
    pub said: String,
}

/// Runs a program and passes on what it writes to stdout, as it comes, until `take` wants no more. It gets no input
/// and speaks English. Its end is no matter once nobody wants more.
pub fn pour(
    command: &mut Command,
    limit: Duration,
    mut take: impl FnMut(&[u8]) -> bool,
) -> Result<(), ProcessError> {
    let program = short_name(command.get_program());
    let failed = |source| ProcessError::Run { program: program.clone(), source };
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).env("LC_ALL", "C");
    let deadline = Instant::now() + limit;
    let mut running = Running::spawn(command).map_err(failed)?;
    let stderr = collect(running.child.stderr.take());
    let (sender, chunks) = mpsc::sync_channel::<Vec<u8>>(4);
    let stdout = running.child.stdout.take();
    std::thread::spawn(move || {
        let Some(mut pipe) = stdout else { return };
        let mut buffer = vec![0; CHUNK];
        while let Ok(count @ 1..) = pipe.read(&mut buffer) {
            if sender.send(buffer.get(..count).unwrap_or_default().to_vec()).is_err() {
                return;
            }
        }
    });
    while let Ok(chunk) = chunks.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        if !take(&chunk) {
            return Ok(());
        }
    }
    let status = running.wait(deadline).map_err(failed)?;
    drop(running);
    let said = || ending(&stderr.recv_timeout(GRACE).unwrap_or_default());
    match status {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(ProcessError::Failed { program, status, said: said() }),
        None => Err(ProcessError::Timeout { program, limit, said: said() }),
    }
}

/// Runs a program that reads what comes from `from` and whose words go to `to`, each as soon as it is there. Both are
/// dropped with its end, at the latest when they can be read or written no more.
pub fn converse(
    command: &mut Command,
    limit: Duration,
    from: impl Read + Send + 'static,
    to: impl Write + Send + 'static,
) -> Result<Talked, ProcessError> {
    let program = short_name(command.get_program());
    let failed = |source| ProcessError::Run { program: program.clone(), source };
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).env("LC_ALL", "C");
    let mut running = Running::spawn(command).map_err(failed)?;
    let stderr = collect(running.child.stderr.take());
    let (stdin, stdout) = (running.child.stdin.take(), running.child.stdout.take());
    // A stream that breaks shows in how the program ends.
    std::thread::spawn(move || stdin.map(|stdin| pass(from, stdin)));
    std::thread::spawn(move || stdout.map(|stdout| pass(stdout, to)));
    let status = running.wait(Instant::now() + limit).map_err(failed)?;
    drop(running);
    let said = stderr.recv_timeout(GRACE).unwrap_or_default();
    match status {
        Some(status) => {
            Ok(Talked { success: status.success(), said: String::from_utf8_lossy(&said).into_owned() })
        }
        None => Err(ProcessError::Timeout { program, limit, said: ending(&said) }),
    }
}

/// Passes bytes on without keeping any back: the other side may be waiting for just these.
fn pass(mut from: impl Read, mut to: impl Write) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            count => to.write_all(buffer.get(..count).unwrap_or_default())?,
        }
        to.flush()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn all_of_it_comes_and_more_than_is_wanted_does_not() {
        let mut length = 0;
        let count = |chunk: &[u8]| {
            length += chunk.len();
            true
        };
        pour(&mut sh("head -c 20000000 /dev/zero"), GRACE * 4, count).unwrap();
        assert_eq!(length, 20_000_000);
        pour(&mut sh("yes"), GRACE * 4, |_| false).unwrap();
        let error = pour(&mut sh("echo why >&2; exit 3"), GRACE, |_| true).unwrap_err();
        assert!(error.to_string().ends_with(": why"), "{error}");
        let error = pour(&mut sh("sleep 1000"), Duration::from_millis(100), |_| true).unwrap_err();
        assert!(matches!(error, ProcessError::Timeout { .. }), "{error}");
    }

    #[test]
    fn a_conversation_needs_no_full_buffers() {
        // Each side waits for a few bytes of the other.
        let (from, mut to_it) = io::pipe().unwrap();
        let (mut from_it, to) = io::pipe().unwrap();
        let other = std::thread::spawn(move || {
            let mut asked = [0; 4];
            from_it.read_exact(&mut asked).unwrap();
            to_it.write_all(b"pong\n").unwrap();
            asked
        });
        let mut it = sh("printf ping; read answer; echo got $answer >&2; exit 1");
        let talked = converse(&mut it, GRACE, from, to).unwrap();
        assert!(!talked.success && talked.said == "got pong\n", "{talked:?}");
        assert_eq!(&other.join().unwrap(), b"ping");
    }
}

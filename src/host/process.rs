//! Runs other programs to their end, always under a deadline.

use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal};

use crate::host::files;
use crate::host::program::{ProcessError, ending, short_name};

/// The most that is kept of what a program writes, in bytes.
pub const MAX_OUTPUT: u64 = 8 << 20;

/// How long a program that is told to end may take before it is killed.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// A program running in a process group of its own, which is ended when this value is dropped.
pub(super) struct Running {
    pub(super) child: Child,
    group: Option<Pid>,
}

impl Running {
    pub(super) fn spawn(command: &mut Command) -> io::Result<Self> {
        command.process_group(0);
        die_with_parent(command);
        let child = command.spawn()?;
        Ok(Self { group: i32::try_from(child.id()).ok().and_then(Pid::from_raw), child })
    }

    /// Waits for the end; `None` at the deadline.
    pub(super) fn wait(&mut self, deadline: Instant) -> io::Result<Option<ExitStatus>> {
        let mut pause = Duration::from_micros(200);
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            std::thread::sleep(pause.min(left));
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // A group that is gone needs no signal.
            let _ = rustix::process::kill_process_group(group, signal);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            self.signal(Signal::TERM);
            if !matches!(self.wait(Instant::now() + GRACE), Ok(Some(_))) {
                self.signal(Signal::KILL);
                // A killed child ends at once; without this it stays a zombie.
                let _ = self.child.wait();
            }
        }
    }
}

/// Asks the kernel to end the program when the thread that started it ends, so that a killed ai-vm leaves none behind.
#[expect(unsafe_code, reason = "prctl is async-signal-safe and touches nothing of the parent's")]
fn die_with_parent(command: &mut Command) {
    let prepare = || rustix::process::set_parent_process_death_signal(Some(Signal::TERM)).map_err(Into::into);
    // SAFETY: between fork and exec only one system call is made.
    unsafe { command.pre_exec(prepare) };
}

/// Lets this process have as many open files as it may. Where that cannot be, the usual limit stays.
pub fn raise_descriptor_limit() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let _ = rustix::process::setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// Runs a short program and returns what it wrote to stdout. It gets no input and speaks English.
pub fn output(command: &mut Command, limit: Duration) -> Result<Vec<u8>, ProcessError> {
    let program = short_name(command.get_program());
    let failed = |source| ProcessError::Run { program: program.clone(), source };
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).env("LC_ALL", "C");
    let mut running = Running::spawn(command).map_err(failed)?;
    let stdout = collect(running.child.stdout.take());
    let stderr = collect(running.child.stderr.take());
    let status = running.wait(Instant::now() + limit).map_err(failed)?;
    // What the program started itself could keep the pipes open: it has no more time than the program had.
    drop(running);
    let said = |pipe: mpsc::Receiver<Vec<u8>>| pipe.recv_timeout(GRACE).unwrap_or_default();
    match status {
        Some(status) if status.success() => Ok(said(stdout)),
        Some(status) => Err(ProcessError::Failed { program, status, said: ending(&said(stderr)) }),
        None => Err(ProcessError::Timeout { program, limit, said: ending(&said(stderr)) }),
    }
}

/// Reads a pipe from its beginning, up to a limit; what was read comes when the pipe ends.
pub(super) fn collect(pipe: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // A pipe that breaks has said what it had to say; nobody may be waiting for it any more.
        let _ = pipe.map(|pipe| pipe.take(MAX_OUTPUT).read_to_end(&mut bytes));
        let _ = sender.send(bytes);
    });
    receiver
}

/// Runs a long program: each line it writes to stdout goes to `on_line` as it comes, everything it writes to
/// stderr goes to the new file `log`.
pub fn stream(
    command: &mut Command,
    log: &Path,
    limit: Duration,
    on_line: impl FnMut(&str),
) -> Result<(), ProcessError> {
    let program = short_name(command.get_program());
    let stderr =
        files::create_private(log).map_err(|error| ProcessError::Run { program, source: error.source })?;
    command.stdout(Stdio::piped()).stderr(stderr);
    follow(command, |child| child.stdout.take(), limit, on_line, || said_in(log))
}

/// Runs a long program: each line it writes to stderr goes to `on_line` as it comes. What it writes to stdout is lost.
pub fn listen(command: &mut Command, limit: Duration, on_line: impl FnMut(&str)) -> Result<(), ProcessError> {
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    follow(command, |child| child.stderr.take(), limit, on_line, String::new)
}

/// Runs a program that writes lines to a pipe. It gets no input and speaks English.
fn follow<P: Read + Send + 'static>(
    command: &mut Command,
    pipe: impl FnOnce(&mut Child) -> Option<P>,
    limit: Duration,
    mut on_line: impl FnMut(&str),
    said: impl FnOnce() -> String,
) -> Result<(), ProcessError> {
    let program = short_name(command.get_program());
    let failed = |source| ProcessError::Run { program: program.clone(), source };
    command.stdin(Stdio::null()).env("LC_ALL", "C");
    let deadline = Instant::now() + limit;
    let mut running = Running::spawn(command).map_err(failed)?;
    let (sender, lines) = mpsc::sync_channel(64);
    let pipe = pipe(&mut running.child);
    std::thread::spawn(move || {
        let mut reader = pipe.map(BufReader::new);
        let mut line = Vec::new();
        // Not every program writes UTF-8.
        while reader.as_mut().is_some_and(|pipe| pipe.read_until(b'\n', &mut line).is_ok_and(|read| read > 0))
        {
            let text = String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned();
            if sender.send(text).is_err() {
                return;
            }
            line.clear();
        }
    });
    while let Ok(line) = lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        on_line(&line);
    }
    let status = running.wait(deadline).map_err(failed)?;
    drop(running);
    match status {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(ProcessError::Failed { program, status, said: said() }),
        None => Err(ProcessError::Timeout { program, limit, said: said() }),
    }
}

/// Runs a program until it writes its first byte to stdout, then ends it.
pub fn first_output(command: &mut Command, limit: Duration) -> Result<(), ProcessError> {
    let program = short_name(command.get_program());
    let failed = |source| ProcessError::Run { program: program.clone(), source };
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = Running::spawn(command).map_err(failed)?;
    let stdout = running.child.stdout.take();
    let stderr = collect(running.child.stderr.take());
    let (sender, first) = mpsc::channel();
    std::thread::spawn(move || {
        let read = stdout.map(|mut pipe| pipe.read(&mut [0]));
        let _ = sender.send(matches!(read, Some(Ok(1))));
    });
    let wrote = first.recv_timeout(limit);
    // One that has closed its stdout is about to end, and how it does says more than that it wrote nothing.
    let patience = if wrote == Ok(false) { GRACE } else { Duration::ZERO };
    let status = running.wait(Instant::now() + patience).map_err(failed)?;
    drop(running);
    match (wrote, status) {
        (Ok(true), _) => Ok(()),
        (Ok(false), Some(status)) => {
            let said = ending(&stderr.recv_timeout(GRACE).unwrap_or_default());
            Err(ProcessError::Failed { program, status, said })
        }
        _ => Err(ProcessError::Timeout { program, limit, said: String::new() }),
    }
}

/// Returns the end of a log.
fn said_in(log: &Path) -> String {
    ending(&files::read_tail(log, 4096).unwrap_or_default())
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
    fn what_it_says_is_returned_or_told() {
        assert_eq!(output(&mut sh("echo out; echo err >&2"), GRACE).unwrap(), b"out\n");
        let error = output(&mut sh("echo why >&2; exit 3"), GRACE).unwrap_err();
        assert_eq!(error.to_string(), "`sh` failed (exit status: 3): why");
    }

    #[test]
    fn a_program_that_hangs_is_killed_with_what_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let lock = dir.path().join("l");
        let holding = format!("exec 9>{0}; flock 9; sleep 1000 & wait", lock.display());
        let error = output(&mut sh(&holding), Duration::from_millis(300)).unwrap_err();
        assert!(matches!(error, ProcessError::Timeout { .. }), "{error}");
        // The kernel frees the lock when the last process that has it is gone.
        crate::host::lock::exclusive(&lock, GRACE).unwrap();
    }

    #[test]
    fn a_first_output_or_why_there_is_none() {
        first_output(&mut sh("echo here; exec sleep 1000"), GRACE).unwrap();
        let early = first_output(&mut sh("exec >&-; sleep 0.1; echo why >&2; exit 3"), GRACE).unwrap_err();
        assert_eq!(early.to_string(), "`sh` failed (exit status: 3): why");
        let silent = first_output(&mut sh("exec sleep 1000"), Duration::from_millis(100)).unwrap_err();
        assert!(matches!(silent, ProcessError::Timeout { .. }), "{silent}");
    }

    #[test]
    fn lines_come_as_they_are_written() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let mut lines = Vec::new();
        stream(&mut sh("echo a; echo noise >&2; echo b"), &log, GRACE, |line| lines.push(line.to_owned()))
            .unwrap();
        assert_eq!(lines, ["a", "b"]);
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "noise\n");
        std::fs::remove_file(&log).unwrap();
        let error = stream(&mut sh("echo broken >&2; exit 1"), &log, GRACE, |_| {}).unwrap_err();
        assert!(error.to_string().ends_with(": broken"), "{error}");
        let mut said = Vec::new();
        let mut bytes = sh("echo out; printf 'a\\377\\nb' >&2; exit 1");
        assert!(listen(&mut bytes, GRACE, |line| said.push(line.to_owned())).is_err());
        assert_eq!(said, ["a\u{fffd}", "b"]);
    }
}

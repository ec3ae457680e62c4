//! Processes that outlive the command that starts them: how they are started, found again and ended.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::io::FdFlags;
use rustix::process::{Pid, PidfdFlags, Resource, Rlimit, Signal, WaitOptions};

/// The variables that every detached process gets from this one. Everything else, secrets among it, stays here.
const ENVIRONMENT: [&str; 6] = ["PATH", "HOME", "USER", "LANG", "TMPDIR", "LD_LIBRARY_PATH"];

/// Starts a process in a session of its own. Its stdin is `lock`, by which it is found again and which it holds
/// for its life; what it says is appended to the file `log`; it works in `dir`; it never dumps core, because
/// that would write a guest's memory to disk. Besides what all of them get, it gets the variables named by `also`.
pub fn spawn(mut command: Command, dir: &Path, lock: File, log: &Path, also: &[&str]) -> io::Result<u32> {
    let said = OpenOptions::new().append(true).create(true).mode(0o600).open(log)?;
    command.current_dir(dir).stdin(Stdio::from(lock)).stdout(said.try_clone()?).stderr(said).env_clear();
    let names = ENVIRONMENT.iter().chain(also);
    command.envs(names.filter_map(|name| std::env::var_os(name).map(|value| (name, value))));
    detach(&mut command);
    // The command is dropped on return, and our copy of the lock with it.
    Ok(command.spawn()?.id())
}

/// Lets a program have these descriptors under the numbers that they have here. They stay closed to every other program
/// that is started in the meantime: only between fork and exec of this one they become inheritable.
#[expect(unsafe_code, reason = "fcntl is async-signal-safe and changes nothing of the parent's")]
pub fn pass_on(command: &mut Command, descriptors: Vec<OwnedFd>) {
    let prepare = move || {
        let inherit = |descriptor| rustix::io::fcntl_setfd(descriptor, FdFlags::empty());
        descriptors.iter().try_for_each(inherit).map_err(Into::into)
    };
    // SAFETY: between fork and exec only system calls are made, and nothing is allocated.
    unsafe { command.pre_exec(prepare) };
}

#[expect(
    unsafe_code,
    reason = "setsid and setrlimit are async-signal-safe and touch nothing of the parent's"
)]
fn detach(command: &mut Command) {
    let prepare = || {
        rustix::process::setsid()?;
        rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
        Ok(())
    };
    // SAFETY: between fork and exec only two system calls are made.
    unsafe { command.pre_exec(prepare) };
}

/// A process that cannot be mistaken for another one, even when its number is used again.
#[derive(Debug)]
pub struct Process {
    /// Its number, for people.
    pub pid: u32,
    handle: OwnedFd,
}

/// Finds the process whose stdin is the given file; `None` when there is none that we may see.
pub fn find_by_stdin(file: &Path) -> Option<Process> {
    let wanted = std::fs::metadata(file).ok()?;
    let is_it = |pid: u32| {
        std::fs::metadata(format!("/proc/{pid}/fd/0"))
            .is_ok_and(|found| (found.dev(), found.ino()) == (wanted.dev(), wanted.ino()))
    };
    let pids = std::fs::read_dir("/proc").ok()?.flatten();
    let mut pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.find_map(|pid| {
        if !is_it(pid) {
            return None;
        }
        let number = Pid::from_raw(i32::try_from(pid).ok()?)?;
        let handle = rustix::process::pidfd_open(number, PidfdFlags::empty()).ok()?;
        // The number could have passed to another process before the handle was opened, but not after.
        is_it(pid).then_some(Process { pid, handle })
    })
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It goes on.
    NotYet,
    /// With the exit code 0.
    Well,
    /// With another one, or by a signal: in words.
    Badly(String),
    /// Another process has started it, or has asked already.
    NotOurs,
}

/// Asks the kernel how a process ended that this one has started.
pub fn ended(pid: u32) -> Ended {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    match pid.map(|pid| rustix::process::waitpid(Some(pid), WaitOptions::NOHANG)) {
        Some(Ok(None)) => Ended::NotYet,
        Some(Ok(Some((_, status)))) => match (status.exit_status(), status.terminating_signal()) {
            (Some(0), _) => Ended::Well,
            (Some(code), _) => Ended::Badly(format!("exit code {code}")),
            (None, signal) => Ended::Badly(format!("killed by signal {}", signal.unwrap_or_default())),
        },
        Some(Err(_)) | None => Ended::NotOurs,
    }
}

impl Process {
    /// Kills it, whatever it is doing.
    pub fn kill(&self) -> io::Result<()> {
        match rustix::process::pidfd_send_signal(&self.handle, Signal::KILL) {
            // Gone already.
            Err(rustix::io::Errno::SRCH) => Ok(()),
            other => other.map_err(Into::into),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::lock;
    use std::os::fd::AsRawFd;
    use std::time::{Duration, Instant};

    #[test]
    fn what_is_passed_on_is_open_there_and_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("f"), "passed on").unwrap();
        let file = || OwnedFd::from(File::open(dir.path().join("f")).unwrap());
        let (passed, kept) = (file(), file());
        let numbers = [passed.as_raw_fd(), kept.as_raw_fd()];
        let mut command = Command::new("sh");
        command.args(["-c", &format!("cat /proc/self/fd/{}; cat /proc/self/fd/{}", numbers[0], numbers[1])]);
        pass_on(&mut command, vec![passed]);
        assert_eq!(command.output().unwrap().stdout, b"passed on");
        let mut other = Command::new("cat");
        let inherited = other.arg(format!("/proc/self/fd/{}", numbers[0])).output().unwrap();
        assert!(!inherited.status.success(), "another program has it too");
        drop(kept);
    }

    #[test]
    fn lives_on_holds_the_lock_and_is_found_by_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l");
        assert!(find_by_stdin(&path).is_none());
        let lock = lock::exclusive(&path, Duration::ZERO).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "env >&2; ulimit -c >&2; sleep 1000"]);
        let pid = spawn(command, dir.path(), lock, &dir.path().join("log"), &["CARGO_PKG_NAME"]).unwrap();
        assert!(lock::is_held(&path).unwrap());
        let said = || std::fs::read_to_string(dir.path().join("log")).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while !said().ends_with("0\n") {
            assert!(Instant::now() < deadline, "cores are dumped: {}", said());
        }
        let (also, rest): (Vec<_>, Vec<_>) = said()
            .lines()
            .map(str::to_owned)
            .filter(|line| line.contains("CARGO"))
            .partition(|line| line.starts_with("CARGO_PKG_NAME="));
        assert_eq!((also.len(), rest), (1, Vec::new()), "the environment leaked: {}", said());
        let process = find_by_stdin(&path).unwrap();
        assert_eq!(process.pid, pid);
        assert_eq!(ended(pid), Ended::NotYet);
        process.kill().unwrap();
        let how = loop {
            match ended(pid) {
                Ended::NotYet => assert!(Instant::now() < deadline),
                how => break how,
            }
        };
        assert_eq!(how, Ended::Badly("killed by signal 9".to_owned()));
        assert_eq!(ended(pid), Ended::NotOurs);
        // The shell's `sleep` has the lock too.
        let group = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
        lock::exclusive(&path, Duration::from_secs(5)).unwrap();
    }
}

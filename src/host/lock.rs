//! Advisory locks that the kernel frees when their holder dies.
//!
//! A lock is let go by closing its file, never by an explicit unlock: an unlock through any duplicate of the
//! descriptor would free the lock that a running QEMU holds.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::diagnostic::{Diagnostic, Kind};
use crate::host::files::{FileError, failed};

/// Why a lock could not be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The lock file cannot be opened or locked at all.
    #[error(transparent)]
    File(#[from] FileError),
    /// Somebody else kept it past the deadline.
    #[error("`{}` is locked by {holder} for more than {} s", path.display(), waited.as_secs())]
    Timeout {
        /// The lock file.
        path: PathBuf,
        /// Who holds it, as far as the kernel tells.
        holder: String,
        /// How long we waited.
        waited: Duration,
    },
}

impl Diagnostic for LockError {
    fn kind(&self) -> Kind {
        match self {
            Self::File(_) => Kind::Failed,
            Self::Timeout { .. } => Kind::Timeout,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::File(error) => error.hints(),
            Self::Timeout { .. } => {
                vec!["wait for that process to finish, or end it, and try again".to_owned()]
            }
        }
    }
}

/// Takes the exclusive lock, waiting at most `patience`.
pub fn exclusive(path: &Path, patience: Duration) -> Result<File, LockError> {
    wait_for(path, patience, try_exclusive)
}

/// Takes the lock together with other sharers, waiting at most `patience` for an exclusive holder.
pub fn shared(path: &Path, patience: Duration) -> Result<File, LockError> {
    wait_for(path, patience, |path| {
        let file = open(path)?;
        granted(path, file.try_lock_shared(), &file).map(|granted| granted.then_some(file))
    })
}

/// Takes the exclusive lock if nobody has it; `None` if somebody has.
pub fn try_exclusive(path: &Path) -> Result<Option<File>, FileError> {
    let file = open(path)?;
    granted(path, file.try_lock(), &file).map(|granted| granted.then_some(file))
}

/// Tells whether somebody holds the lock. A lock file that does not exist is held by nobody.
pub fn is_held(path: &Path) -> Result<bool, FileError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(failed("open", path)(error)),
    };
    // A shared attempt: many `ls` at once do not take each other for a running VM.
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(failed("lock", path)(error)),
    }
}

fn wait_for(
    path: &Path,
    patience: Duration,
    attempt: impl Fn(&Path) -> Result<Option<File>, FileError>,
) -> Result<File, LockError> {
    let start = Instant::now();
    let mut pause = Duration::from_micros(200);
    loop {
        if let Some(file) = attempt(path)? {
            return Ok(file);
        }
        let waited = start.elapsed();
        if waited >= patience {
            return Err(LockError::Timeout { path: path.to_owned(), holder: holder(path), waited });
        }
        std::thread::sleep(pause.min(patience - waited));
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

fn open(path: &Path) -> Result<File, FileError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(failed("open", path))
}

/// Judges an attempt; a lock on a file that has meanwhile been removed or replaced protects nothing.
fn granted(path: &Path, attempt: Result<(), TryLockError>, file: &File) -> Result<bool, FileError> {
    match attempt {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(false),
        Err(TryLockError::Error(error)) => return Err(failed("lock", path)(error)),
    }
    let ours = file.metadata().map_err(failed("inspect", path))?;
    match std::fs::metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed("inspect", path)(error)),
    }
}

/// Names the holder of a lock for people, from the kernel's own table.
pub fn holder(path: &Path) -> String {
    let unknown = || "another process".to_owned();
    let Some(pid) = holder_pid(path) else { return unknown() };
    match std::fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(command) => format!("`{}` (pid {pid})", command.trim().escape_debug()),
        Err(_) => format!("pid {pid}"),
    }
}

/// Returns the pid that took the lock: a line of `/proc/locks` reads
/// `1: FLOCK  ADVISORY  WRITE 123 fe:00:4567 0 EOF`, the last number of the fifth field being the inode.
fn holder_pid(path: &Path) -> Option<u32> {
    let inode = std::fs::metadata(path).ok()?.ino().to_string();
    let table = std::fs::read_to_string("/proc/locks").ok()?;
    table.lines().find_map(|line| {
        let mut fields = line.split_whitespace().skip_while(|field| *field != "FLOCK").skip(3);
        let pid = fields.next()?.parse().ok()?;
        (fields.next()?.rsplit(':').next()? == inode).then_some(pid)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_until_the_file_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l");
        assert!(!is_held(&path).unwrap());
        let lock = exclusive(&path, Duration::ZERO).unwrap();
        assert!(is_held(&path).unwrap());
        assert!(try_exclusive(&path).unwrap().is_none());
        let error = exclusive(&path, Duration::from_millis(5)).unwrap_err();
        assert!(error.to_string().contains(&format!("pid {}", std::process::id())), "{error}");
        drop(lock);
        assert!(!is_held(&path).unwrap());
        assert!(try_exclusive(&path).unwrap().is_some());
    }

    #[test]
    fn a_duplicate_keeps_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l");
        let lock = exclusive(&path, Duration::ZERO).unwrap();
        let inherited = lock.try_clone().unwrap();
        drop(lock);
        assert!(is_held(&path).unwrap());
        drop(inherited);
        assert!(!is_held(&path).unwrap());
    }

    #[test]
    fn sharers_share() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l");
        let one = shared(&path, Duration::ZERO).unwrap();
        let two = shared(&path, Duration::ZERO).unwrap();
        assert!(try_exclusive(&path).unwrap().is_none());
        drop((one, two));
        assert!(try_exclusive(&path).unwrap().is_some());
    }
}

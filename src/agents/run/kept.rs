//! This machine's copy of what an agent without a terminal said: its length is how much of the log is known here, so that
//! who follows it again goes on there. One follower at a time adds to it.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use crate::agents::agent::AgentId;
use crate::host::files::{self, FileError, failed};
use crate::host::layout::VmDir;
use crate::host::lock;

/// How many are kept of each VM.
const KEPT: usize = 50;

/// The most that is kept of one, in bytes: a guest that says more and more is not to fill the disk.
pub const MOST: u64 = 256 << 20;

/// The copy of one log, which nobody else adds to meanwhile.
#[derive(Debug)]
pub struct Kept {
    path: PathBuf,
    file: File,
    length: u64,
}

/// Returns where the copy of a log is, or would be.
pub fn path(dir: &VmDir, id: &AgentId) -> PathBuf {
    dir.file(VmDir::RUNS).join(format!("{id}.log"))
}

/// Returns the copies of which the name begins so.
pub fn beginning(dir: &VmDir, prefix: &str) -> Vec<PathBuf> {
    // Where there is no directory, nothing was kept.
    let entries = std::fs::read_dir(dir.file(VmDir::RUNS)).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
        .collect()
}

impl Kept {
    /// Opens the copy, which may be empty; `None` when somebody else adds to it.
    pub fn open(dir: &VmDir, id: &AgentId) -> Result<Option<Self>, FileError> {
        files::create_private_dir(&dir.file(VmDir::RUNS))?;
        let path = path(dir, id);
        let Some(file) = lock::try_exclusive(&path)? else { return Ok(None) };
        let length = file.metadata().map_err(failed("inspect", &path))?.len();
        prune(dir)?;
        Ok(Some(Self { path, file, length }))
    }

    /// Returns how much of the log is known.
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// Reads some of it from a byte on; nothing at its end.
    pub fn read(&mut self, from: u64) -> Result<Vec<u8>, FileError> {
        let mut chunk = vec![0; 64 * 1024];
        let read = self.file.seek(SeekFrom::Start(from)).and_then(|_| self.file.read(&mut chunk));
        chunk.truncate(read.map_err(failed("read", &self.path))?);
        Ok(chunk)
    }

    /// Adds what comes next; false when no more is kept.
    pub fn add(&mut self, chunk: &[u8]) -> Result<bool, FileError> {
        let after = self.length + chunk.len() as u64;
        if after > MOST {
            return Ok(false);
        }
        let written = self.file.seek(SeekFrom::Start(self.length)).and_then(|_| self.file.write_all(chunk));
        written.map_err(failed("write", &self.path))?;
        self.length = after;
        Ok(true)
    }
}

/// Removes the oldest, but none that somebody adds to.
fn prune(dir: &VmDir) -> Result<(), FileError> {
    let runs = dir.file(VmDir::RUNS);
    let entries = std::fs::read_dir(&runs).map_err(failed("list", &runs))?;
    let written = |entry: std::fs::DirEntry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()));
    let mut logs: Vec<_> = entries.filter_map(|entry| written(entry.ok()?)).collect();
    logs.sort();
    let over = logs.len().saturating_sub(KEPT);
    for (_, path) in logs.into_iter().take(over) {
        if !lock::is_held(&path)? {
            files::remove_if_there(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn id(number: usize) -> AgentId {
        AgentId::read(&format!("{number:012x}")).unwrap()
    }

    #[test]
    fn one_adds_and_the_next_goes_on_there() {
        let home = tempfile::tempdir().unwrap();
        let dir = VmDir::at(home.path());
        let mut kept = Kept::open(&dir, &id(1)).unwrap().unwrap();
        assert!(kept.add(b"one\ntw").unwrap());
        assert!(Kept::open(&dir, &id(1)).unwrap().is_none());
        drop(kept);
        let mut kept = Kept::open(&dir, &id(1)).unwrap().unwrap();
        assert_eq!(kept.length(), 6);
        assert!(kept.add(b"o\n").unwrap());
        assert_eq!(
            (kept.read(0).unwrap(), kept.read(4).unwrap()),
            (b"one\ntwo\n".to_vec(), b"two\n".to_vec())
        );
        assert!(!kept.add(&vec![0; 1 + usize::try_from(MOST).unwrap()]).unwrap());
        assert_eq!(kept.length(), 8);
        let mode = std::fs::metadata(path(&dir, &id(1))).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn the_oldest_go_but_for_those_that_are_added_to() {
        let home = tempfile::tempdir().unwrap();
        let dir = VmDir::at(home.path());
        let oldest = Kept::open(&dir, &id(0)).unwrap();
        for number in 1..KEPT + 10 {
            Kept::open(&dir, &id(number)).unwrap();
        }
        let there = |number| path(&dir, &id(number)).exists();
        assert!(there(0) && there(KEPT + 9) && !there(1));
        assert!(std::fs::read_dir(dir.file(VmDir::RUNS)).unwrap().count() <= KEPT + 1);
        drop(oldest);
    }
}

//! Directories that appear and disappear whole.
//!
//! A directory is made here and renamed to its place when it is complete; one that is to go is renamed here
//! and then deleted. Everyone with something here holds a shared lock, so whoever gets the lock alone knows
//! that everything left is from processes that died, and sweeps it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::host::files::{FileError, create_private_dir, failed, sync_dir};
use crate::host::layout::Layout;
use crate::host::lock::{self, LockError};

/// The right to have directories in the staging area.
#[derive(Debug)]
pub struct Staging {
    area: PathBuf,
    _lock: File,
}

/// A directory that does not exist yet as far as anyone else can see. Dropped without being placed, it is deleted.
#[derive(Debug)]
pub struct Staged {
    path: PathBuf,
    placed: bool,
    _lock: File,
}

impl Staging {
    /// Enters the staging area; sweeps it first when nobody else is there.
    pub fn enter(layout: &Layout) -> Result<Self, LockError> {
        let area = layout.staging();
        create_private_dir(&area)?;
        if let Some(_alone) = lock::try_exclusive(&layout.staging_lock())? {
            sweep(&area);
        }
        // Another sweeper holds the lock for as long as its deletions take.
        let lock = lock::shared(&layout.staging_lock(), Duration::from_secs(60))?;
        Ok(Self { area, _lock: lock })
    }

    /// Makes an empty private directory.
    pub fn new_dir(&self) -> Result<Staged, FileError> {
        let path =
            self.unused_name("new", |path| rustix::fs::mkdir(path, 0o700.into()).map_err(Into::into))?;
        self.staged(path)
    }

    /// Takes a directory away from its place; it is deleted when the returned value is dropped.
    pub fn take(&self, place: &Path) -> Result<Staged, FileError> {
        let path = self.unused_name("old", |path| {
            rustix::fs::renameat_with(
                rustix::fs::CWD,
                place,
                rustix::fs::CWD,
                path,
                rustix::fs::RenameFlags::NOREPLACE,
            )
            .map_err(Into::into)
        })?;
        let staged = self.staged(path)?;
        place.parent().map_or(Ok(()), sync_dir)?;
        Ok(staged)
    }

    fn staged(&self, path: PathBuf) -> Result<Staged, FileError> {
        let lock = self._lock.try_clone().map_err(failed("share the lock of", &path))?;
        Ok(Staged { path, placed: false, _lock: lock })
    }

    /// Tries names until the system accepts one: names of dead processes may still be in use.
    fn unused_name(&self, what: &str, claim: impl Fn(&Path) -> io::Result<()>) -> Result<PathBuf, FileError> {
        let pid = std::process::id();
        for number in 0u32.. {
            let path = self.area.join(format!("{what}-{pid}-{number}"));
            match claim(&path) {
                Ok(()) => return Ok(path),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed("prepare", &path)(error)),
            }
        }
        Err(failed("prepare", &self.area)(io::ErrorKind::AlreadyExists.into()))
    }
}

impl Staged {
    /// Returns where the directory is for now.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Moves the directory to its place, complete and durable. Something that is already there is an error
    /// of kind [`io::ErrorKind::AlreadyExists`].
    pub fn place(mut self, place: &Path) -> Result<(), FileError> {
        sync_dir(&self.path)?;
        // NOREPLACE, because a plain rename would replace an empty directory without a word.
        rustix::fs::renameat_with(
            rustix::fs::CWD,
            &self.path,
            rustix::fs::CWD,
            place,
            rustix::fs::RenameFlags::NOREPLACE,
        )
        .map_err(|error| failed("create", place)(error.into()))?;
        self.placed = true;
        place.parent().map_or(Ok(()), sync_dir)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.placed {
            // What cannot be deleted now is swept by the next one who enters alone.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// Counts what is there of processes that died; nothing while anybody else is there.
pub fn left_over(layout: &Layout) -> Result<usize, FileError> {
    let count = std::fs::read_dir(layout.staging()).into_iter().flatten().count();
    // The lock is only asked for when there is something, because asking makes its file.
    if count == 0 || lock::try_exclusive(&layout.staging_lock())?.is_none() {
        return Ok(0);
    }
    Ok(std::fs::read_dir(layout.staging()).into_iter().flatten().count())
}

fn sweep(area: &Path) {
    let Ok(entries) = std::fs::read_dir(area) else { return };
    for entry in entries.flatten() {
        let _ = std::fs::remove_dir_all(entry.path());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> (tempfile::TempDir, Layout) {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        (dir, layout)
    }

    #[test]
    fn a_directory_appears_whole_or_not_at_all() {
        let (dir, layout) = layout();
        let staging = Staging::enter(&layout).unwrap();
        let place = dir.path().join("there");
        drop(staging.new_dir().unwrap());
        let staged = staging.new_dir().unwrap();
        std::fs::write(staged.path().join("f"), "x").unwrap();
        staged.place(&place).unwrap();
        assert_eq!(std::fs::read(place.join("f")).unwrap(), b"x");
        let error = staging.new_dir().unwrap().place(&place).unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::AlreadyExists);
        staging.take(&place).unwrap();
        assert!(!place.exists());
        assert_eq!(std::fs::read_dir(layout.staging()).unwrap().count(), 0);
    }

    #[test]
    fn rubbish_of_the_dead_is_swept_and_of_the_living_kept() {
        let (_dir, layout) = layout();
        let living = Staging::enter(&layout).unwrap();
        let theirs = living.new_dir().unwrap();
        std::fs::create_dir(layout.staging().join("new-1-0")).unwrap();
        drop(Staging::enter(&layout).unwrap());
        assert_eq!(std::fs::read_dir(layout.staging()).unwrap().count(), 2);
        drop((theirs, living));
        Staging::enter(&layout).unwrap();
        assert_eq!(std::fs::read_dir(layout.staging()).unwrap().count(), 0);
    }
}

//! Files that are either whole or not there, and never readable by others.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, fstat, major, minor};

use crate::diagnostic::Diagnostic;

/// The numbers of the null device, which are Linux's own (Documentation/admin-guide/devices.txt).
const NULL_DEVICE: (u32, u32) = (1, 3);

/// A file operation that failed: what was tried, on which path, and the system's reason.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} `{}`", path.display())]
pub struct FileError {
    /// What was tried, as a verb: `read`, `write`, `create`.
    pub action: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// The system's reason.
    #[source]
    pub source: io::Error,
}

impl Diagnostic for FileError {
    fn hints(&self) -> Vec<String> {
        match self.source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                vec!["free some space; `ai-vm image prune` removes images that no VM uses".to_owned()]
            }
            io::ErrorKind::ReadOnlyFilesystem => {
                vec!["the file system is mounted read-only; use another data directory: `export AI_VM_HOME=DIR`".to_owned()]
            }
            _ => Vec::new(),
        }
    }
}

/// Makes the closure that turns an [`io::Error`] into a [`FileError`], for `map_err`.
pub fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError { action, path, source }
}

/// Creates a directory that only its owner can enter. An existing one is fine.
pub fn create_private_dir(path: &Path) -> Result<(), FileError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        other => other.map_err(failed("create", path)),
    }
}

/// Creates a file that only its owner can read; an existing one is an error.
pub fn create_private(path: &Path) -> Result<File, FileError> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed("create", path))
}

/// Writes a new file and makes sure that it is on the disk.
pub fn write_new(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let mut file = create_private(path)?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(failed("write", path))
}

/// Replaces a file: after a crash it has the old or the new content, never a mixture and never none.
///
/// The new content goes to a sibling first, so one writer at a time is assumed (the caller holds a lock).
pub fn replace(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let mut sibling = path.as_os_str().to_owned();
    sibling.push(".tmp");
    let sibling = PathBuf::from(sibling);
    // A writer that was killed leaves its sibling behind; it was never valid.
    remove_if_there(&sibling)?;
    let written = write_new(&sibling, content)
        .and_then(|()| std::fs::rename(&sibling, path).map_err(failed("replace", path)));
    if let Err(error) = written {
        // The reason that matters is the first one; a sibling that stays is swept by the next writer.
        let _ = remove_if_there(&sibling);
        return Err(error);
    }
    path.parent().map_or(Ok(()), sync_dir)
}

/// Makes sure that names created in, or renamed into, a directory survive a crash.
pub fn sync_dir(path: &Path) -> Result<(), FileError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(failed("sync", path))
}

/// Reads a whole file of at most `limit` bytes; a longer one is an error, so that no file can exhaust memory.
pub fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let read = || {
        let mut content = Vec::new();
        File::open(path)?.take(limit + 1).read_to_end(&mut content)?;
        if content.len() as u64 > limit {
            let reason = format!("the file is larger than {limit} bytes");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
        }
        Ok(content)
    };
    read().map_err(failed("read", path))
}

/// Reads the last `limit` bytes of a file, or all of a shorter one.
pub fn read_tail(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let read = || {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(limit)))?;
        let mut content = Vec::new();
        file.take(limit).read_to_end(&mut content)?;
        Ok(content)
    };
    read().map_err(failed("read", path))
}

/// Removes a file; one that is not there is fine.
pub fn remove_if_there(path: &Path) -> Result<(), FileError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(failed("remove", path)),
    }
}

/// Removes a directory with all that is in it; one that is not there is fine.
pub fn remove_tree_if_there(path: &Path) -> Result<(), FileError> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(failed("remove", path)),
    }
}

/// Makes a private directory with copies of the files in another one, which has no directories in it.
pub fn copy_flat(from: &Path, to: &Path) -> Result<(), FileError> {
    create_private_dir(to)?;
    for entry in std::fs::read_dir(from).map_err(failed("list", from))? {
        let entry = entry.map_err(failed("list", from))?;
        let content = std::fs::read(entry.path()).map_err(failed("read", &entry.path()))?;
        write_new(&to.join(entry.file_name()), &content)?;
    }
    sync_dir(to)
}

/// Lets two files or directories change places, in one step.
pub fn exchange(one: &Path, other: &Path) -> Result<(), FileError> {
    let flags = rustix::fs::RenameFlags::EXCHANGE;
    rustix::fs::renameat_with(rustix::fs::CWD, one, rustix::fs::CWD, other, flags)
        .map_err(|error| failed("replace", other)(error.into()))
}

/// Tells whether a descriptor is the null device, which has nothing to read.
pub fn is_null_device(descriptor: impl AsFd) -> bool {
    fstat(descriptor).is_ok_and(|stat| {
        FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
            && (major(stat.st_rdev), minor(stat.st_rdev)) == NULL_DEVICE
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn replacing_leaves_one_private_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(dir.path().join("a.tmp"), "left by a killed writer").unwrap();
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(read_bounded(&path, 10).unwrap(), b"two");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_huge_file_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("huge");
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        let error = read_bounded(&path, 1 << 16).unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn a_failed_write_names_the_path() {
        let error = replace(Path::new("/nonexistent/dir/file"), b"x").unwrap_err();
        assert!(error.to_string().contains("/nonexistent/dir/file"), "{error}");
    }
}

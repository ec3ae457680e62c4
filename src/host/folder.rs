//! Folders of this machine as they really are: opened, without links, and recognisable wherever they are mounted.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::vm::share_policy::{Folder, Private, SECRETS};

/// A folder that is open: whatever becomes of its path, this is the one that was looked at.
#[derive(Debug)]
pub struct OpenFolder {
    /// What it is.
    pub folder: Folder,
    /// The way to it that is independent of its path.
    pub descriptor: OwnedFd,
}

/// How long a file system may take over one folder: one whose server is gone can take for ever.
const PATIENCE: Duration = Duration::from_secs(10);

/// The same for somebody who is typing.
const TYPING: Duration = Duration::from_millis(300);

/// How many names of a folder are looked at for somebody who is typing.
const MOST: usize = 5000;

/// Opens a folder, through links, and finds out what it really is.
pub fn open(path: &Path) -> io::Result<OpenFolder> {
    let path = path.to_owned();
    let late = || Err(io::Error::new(io::ErrorKind::TimedOut, "its file system does not answer"));
    within(PATIENCE, move || open_at_last(&path)).unwrap_or_else(late)
}

/// Returns what is in a folder whose name begins so, in order, each with whether it is a folder too. Names with a dot at
/// the beginning only where that is meant. Nothing where the folder cannot be read soon.
pub fn completions(folder: &Path, begun: &str) -> Vec<(PathBuf, bool)> {
    let (folder, begun) = (folder.to_owned(), begun.to_owned());
    let look = move || {
        let entries = std::fs::read_dir(&folder).into_iter().flatten().take(MOST).flatten();
        let is_meant =
            |name: &str| name.starts_with(&begun) && (begun.starts_with('.') || !name.starts_with('.'));
        let named = entries.filter(|entry| entry.file_name().to_str().is_some_and(is_meant));
        let mut found: Vec<_> = named.map(|entry| (entry.path(), entry.path().is_dir())).collect();
        found.sort();
        found
    };
    within(TYPING, look).unwrap_or_default()
}

/// Does what may take as long as a file system likes; `None` when that is too long.
fn within<T: Send + 'static>(patience: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, done) = mpsc::channel();
    // Whoever has stopped waiting wants no answer.
    std::thread::spawn(move || drop(sender.send(work())));
    done.recv_timeout(patience).ok()
}

fn open_at_last(path: &Path) -> io::Result<OpenFolder> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let descriptor = rustix::fs::open(path, flags, Mode::empty())?;
    let path = std::fs::read_link(format!("/proc/self/fd/{}", descriptor.as_raw_fd()))?;
    let folder = identify(&path)?;
    let found = rustix::fs::fstat(&descriptor)?;
    if folder.ids.first() != Some(&(found.st_dev, found.st_ino)) {
        return Err(io::Error::new(io::ErrorKind::ResourceBusy, "it is being moved"));
    }
    Ok(OpenFolder { folder, descriptor })
}

/// Identifies a folder and those above it, by a path without links.
fn identify(path: &Path) -> io::Result<Folder> {
    let id = |path: &Path| std::fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()));
    Ok(Folder { path: path.to_owned(), ids: path.ancestors().map(id).collect::<Result<_, _>>()? })
}

/// Returns a folder that may not be there, or not be reachable for us.
fn look(path: &Path) -> Option<Folder> {
    identify(&std::fs::canonicalize(path).ok()?).ok()
}

impl OpenFolder {
    /// Tells whether something of this name, which may have several parts, is in it.
    pub fn has(&self, name: &str) -> bool {
        rustix::fs::statat(&self.descriptor, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// Tells whether its file system keeps the attributes of ordinary users' files (`user.*` of xattr(7)).
    pub fn keeps_attributes(&self) -> bool {
        let mut value = [0u8; 0];
        let asked = rustix::fs::fgetxattr(self.descriptor.as_fd(), "user.ai-vm", &mut value[..]);
        !matches!(asked, Err(Errno::NOTSUP))
    }
}

/// Looks what this user has that no guest should see.
pub fn private(data: &Path, config: &Path, home: Option<&Path>) -> Private {
    let secret = |name: &&str| look(&home?.join(name));
    Private {
        data: look(data).unwrap_or_else(|| Folder { path: data.to_owned(), ids: Vec::new() }),
        config: config.parent().and_then(look),
        home: home.and_then(look),
        secrets: SECRETS.iter().filter_map(secret).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn opened_through_links_and_known_by_what_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let root = std::fs::canonicalize(dir.path()).unwrap();
        std::fs::create_dir_all(root.join("real/sub")).unwrap();
        symlink(root.join("real"), root.join("link")).unwrap();
        let opened = open(&root.join("link/../link/sub/..")).unwrap();
        assert_eq!(opened.folder, look(&root.join("real")).unwrap());
        assert!(opened.has("sub") && !opened.has("none") && !opened.has("sub/none"));
        // Another one under the same path is not the one that was opened.
        std::fs::rename(root.join("real"), root.join("moved")).unwrap();
        std::fs::create_dir(root.join("real")).unwrap();
        assert!(opened.has("sub"));
        assert_ne!(open(&root.join("real")).unwrap().folder.ids[0], opened.folder.ids[0]);
    }

    #[test]
    fn what_is_no_folder_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert_eq!(open(&fifo).unwrap_err().kind(), io::ErrorKind::NotADirectory);
        assert_eq!(open(&dir.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn completed_by_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["web", "work", ".secret", "other"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        std::fs::write(dir.path().join("wax"), "").unwrap();
        let named = |begun: &str| -> Vec<(String, bool)> {
            let found = completions(dir.path(), begun).into_iter();
            found
                .map(|(path, is_dir)| (path.file_name().unwrap().to_str().unwrap().to_owned(), is_dir))
                .collect()
        };
        let found = |name: &str, is_dir| (name.to_owned(), is_dir);
        assert_eq!(named("w"), [found("wax", false), found("web", true), found("work", true)]);
        assert_eq!(named(".s"), [found(".secret", true)]);
        assert_eq!(named("").len(), 4);
        assert_eq!(completions(Path::new("/nowhere"), ""), []);
    }

    #[test]
    fn secrets_are_found_where_links_lead() {
        let dir = tempfile::tempdir().unwrap();
        let root = std::fs::canonicalize(dir.path()).unwrap();
        let home = root.join("home");
        std::fs::create_dir_all(home.join(".aws")).unwrap();
        std::fs::create_dir(root.join("keys")).unwrap();
        symlink(root.join("keys"), home.join(".ssh")).unwrap();
        let found = private(&root.join("data"), &home.join("config.toml"), Some(&home));
        let paths: Vec<&Path> = found.secrets.iter().map(|secret| secret.path.as_path()).collect();
        assert_eq!(paths, [root.join("keys"), home.join(".aws")]);
        assert_eq!(found.config.unwrap().path, home);
    }
}

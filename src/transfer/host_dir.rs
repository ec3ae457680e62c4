//! A directory of this machine that a guest's files go into: nothing outside it can be reached by any name, and no
//! symbolic link in it is followed.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, Timespec, Timestamps, UTIME_OMIT};
use rustix::io::Errno;

use crate::host::random;
use crate::transfer::entry::Time;
use crate::transfer::name::Name;

/// How paths are followed, at every step.
const RESOLVE: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// The directory.
pub struct HostDir {
    top: Rc<OwnedFd>,
    /// The directory that was asked for last: files of a directory come one after the other.
    last: Option<(Name, Rc<OwnedFd>)>,
}

/// A file that is being written. Dropped, it is as if it had never been.
pub struct NewFile {
    /// What to write to.
    pub file: File,
    dir: Rc<OwnedFd>,
    /// Its name for now, where the file system has no files without a name.
    temporary: Option<String>,
}

impl HostDir {
    /// Opens the directory. Links in its path are followed: it is the user's own.
    pub fn open(path: &Path) -> io::Result<Self> {
        let top = rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { top: Rc::new(top), last: None })
    }

    /// Opens a directory inside.
    pub fn dir(&mut self, name: &Name) -> io::Result<Rc<OwnedFd>> {
        if name.is_top() {
            return Ok(Rc::clone(&self.top));
        }
        if let Some((_, dir)) = self.last.as_ref().filter(|(last, _)| last == name) {
            return Ok(Rc::clone(dir));
        }
        let dir = Rc::new(self.open_dir(name, OFlags::PATH)?);
        self.last = Some((name.clone(), Rc::clone(&dir)));
        Ok(dir)
    }

    /// Opens a directory inside for its attributes.
    pub fn readable(&self, name: &Name) -> io::Result<OwnedFd> {
        self.open_dir(name, OFlags::RDONLY)
    }

    fn open_dir(&self, name: &Name, flags: OFlags) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let name = if name.is_top() { OsStr::new(".") } else { name.as_os_str() };
        Ok(rustix::fs::openat2(&self.top, name, flags, Mode::empty(), RESOLVE)?)
    }

    /// Makes a directory, which is its owner's alone until its mode is set, or makes one that is there writable.
    pub fn make_dir(&mut self, name: &Name) -> io::Result<()> {
        let (parent, last) = name.split().ok_or(io::ErrorKind::InvalidInput)?;
        match rustix::fs::mkdirat(self.dir(&parent)?, last, Mode::RWXU) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => {
                let dir = self.dir(name)?;
                unlock(&dir).map(|_| ())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Sets mode and time of a directory.
    pub fn finish_dir(&self, name: &Name, mode: u32, mtime: Time) -> io::Result<()> {
        let dir = self.readable(name)?;
        rustix::fs::futimens(&dir, &times(mtime))?;
        Ok(rustix::fs::fchmod(&dir, Mode::from_raw_mode(mode))?)
    }

    /// Begins a file in a directory.
    pub fn new_file(&mut self, parent: &Name) -> io::Result<NewFile> {
        let dir = self.dir(parent)?;
        let mode = Mode::RUSR | Mode::WUSR;
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        match rustix::fs::openat(&dir, ".", flags | OFlags::TMPFILE, mode) {
            Ok(file) => Ok(NewFile { file: file.into(), dir, temporary: None }),
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT | Errno::INVAL) => {
                let temporary = temporary_name()?;
                let flags = flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
                let file = rustix::fs::openat(&dir, &temporary, flags, mode)?;
                Ok(NewFile { file: file.into(), dir, temporary: Some(temporary) })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Puts a symbolic link in its place.
    pub fn symlink(&mut self, name: &Name, target: &OsStr, mtime: Time) -> io::Result<()> {
        let (parent, last) = name.split().ok_or(io::ErrorKind::InvalidInput)?;
        let dir = self.dir(&parent)?;
        let temporary = temporary_name()?;
        rustix::fs::symlinkat(target, &dir, &temporary)?;
        let placed = rustix::fs::utimensat(&dir, &temporary, &times(mtime), AtFlags::SYMLINK_NOFOLLOW)
            .and_then(|()| rustix::fs::renameat(&dir, &temporary, &dir, last));
        if placed.is_err() {
            // The reason that matters is the first one.
            let _ = rustix::fs::unlinkat(&dir, &temporary, AtFlags::empty());
        }
        Ok(placed?)
    }

    /// Removes a file, or a directory with everything in it. Links are removed, not followed.
    pub fn remove(&mut self, name: &Name) -> io::Result<()> {
        let (parent, last) = name.split().ok_or(io::ErrorKind::InvalidInput)?;
        let dir = self.dir(&parent)?;
        self.last = None;
        match remove_in(&dir, last) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                // Files are written into directories that may not be written to; so they are removed from them.
                let mode = unlock(&dir)?;
                let removed = unlock_all(&dir, last).and_then(|()| remove_in(&dir, last));
                rustix::fs::chmod(proc_path(&dir), mode)?;
                removed
            }
            other => other,
        }
    }
}

impl NewFile {
    /// Gives it mode and time and puts it in its place, in that of another file if there is one.
    pub fn place(mut self, last: &OsStr, mode: u32, mtime: Time) -> io::Result<()> {
        rustix::fs::fchmod(&self.file, Mode::from_raw_mode(mode))?;
        rustix::fs::futimens(&self.file, &times(mtime))?;
        let temporary = match self.temporary.clone() {
            Some(temporary) => temporary,
            None => {
                let link = |name: &OsStr| {
                    rustix::fs::linkat(CWD, proc_path(&self.file), &self.dir, name, AtFlags::SYMLINK_FOLLOW)
                };
                match link(last) {
                    Err(Errno::EXIST) => {}
                    other => return Ok(other?),
                }
                let temporary = temporary_name()?;
                link(OsStr::new(&temporary))?;
                self.temporary = Some(temporary.clone());
                temporary
            }
        };
        rustix::fs::renameat(&self.dir, &temporary, &self.dir, last)?;
        self.temporary = None;
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // Nothing more can be done about it.
            let _ = rustix::fs::unlinkat(&self.dir, temporary, AtFlags::empty());
        }
    }
}

/// Removes what has this name in a directory.
fn remove_in(dir: &OwnedFd, name: &OsStr) -> io::Result<()> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Err(Errno::ISDIR | Errno::PERM) => std::fs::remove_dir_all(Path::new(&proc_path(dir)).join(name)),
        other => Ok(other?),
    }
}

/// Lets its owner do everything in a directory, and returns the mode that it had.
fn unlock(dir: &OwnedFd) -> io::Result<Mode> {
    let mode = Mode::from_raw_mode(rustix::fs::fstat(dir)?.st_mode & 0o7777);
    if !mode.contains(Mode::RWXU) {
        // A descriptor that only names a directory cannot change it; its entry in /proc can.
        rustix::fs::chmod(proc_path(dir), mode | Mode::RWXU)?;
    }
    Ok(mode)
}

/// Lets its owner do everything in a directory and in all inside it; does nothing to anything else.
fn unlock_all(parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = match rustix::fs::openat(parent, name, flags | OFlags::PATH, Mode::empty()) {
        Err(Errno::NOTDIR | Errno::LOOP) => return Ok(()),
        other => other?,
    };
    unlock(&dir)?;
    let readable = rustix::fs::openat(&dir, ".", flags | OFlags::RDONLY, Mode::empty())?;
    for entry in rustix::fs::Dir::new(readable)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if !matches!(name.as_bytes(), b"." | b"..") {
            unlock_all(&dir, name)?;
        }
    }
    Ok(())
}

fn temporary_name() -> io::Result<String> {
    Ok(format!(".ai-vm-cp.{}", random::hex128()?))
}

fn proc_path(fd: &impl AsFd) -> String {
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())
}

fn times(mtime: Time) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: mtime.seconds, tv_nsec: mtime.nanos.into() },
    }
}

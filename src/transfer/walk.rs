//! Reads files of this machine for a copy. Symbolic links are never followed, except the one that is named itself.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, SeekFrom};

use crate::transfer::entry::{Content, DIR_MODE, Destination, Entry, FILE_MODE, Kind, Segment, Time};
use crate::transfer::error::Stop;
use crate::transfer::name::Name;
use crate::transfer::watch::Watch;

/// The most parts with data that are told apart in one file; one with more is sent whole.
const MAX_SEGMENTS: usize = 100_000;

/// A file or directory to read, and what it is called in the copy.
#[derive(Clone, Debug)]
pub struct Source {
    /// Where it is.
    pub path: PathBuf,
    /// Its name there; the top where only what is inside counts.
    pub name: Name,
}

/// A walk over sources.
pub struct Walk<'a> {
    /// Whether directories are entered. Without, a link that is named itself stands for its file.
    pub recursive: bool,
    /// Tells which are wanted; directories are entered also when they are not.
    pub wanted: &'a dyn Fn(&Name) -> bool,
    /// Is told what cannot be read.
    pub watch: &'a Watch,
}

impl Walk<'_> {
    /// Hands over a source with everything below it.
    pub fn run(&self, source: &Source, to: &mut dyn Destination) -> Result<(), Stop> {
        let looked = if self.recursive && !source.name.is_top() {
            std::fs::symlink_metadata(&source.path)
        } else {
            std::fs::metadata(&source.path)
        };
        self.one(&source.path, &source.name, looked, to)
    }

    fn one(
        &self,
        path: &Path,
        name: &Name,
        looked: io::Result<Metadata>,
        to: &mut dyn Destination,
    ) -> Result<(), Stop> {
        let found = match looked {
            Ok(found) => found,
            Err(error) => return self.failed(path, &error),
        };
        let kind = found.file_type();
        if kind.is_dir() {
            if !name.is_top() && (self.wanted)(name) {
                self.put(to, &entry(name, Kind::Dir, &found), &mut io::empty())?;
            }
            return self.below(path, name, to);
        }
        if !(self.wanted)(name) {
            return Ok(());
        }
        if kind.is_file() {
            self.file(path, name, to)
        } else if kind.is_symlink() {
            match std::fs::read_link(path) {
                Ok(target) => {
                    self.put(to, &entry(name, Kind::Symlink(target.into()), &found), &mut io::empty())
                }
                Err(error) => self.failed(path, &error),
            }
        } else {
            let kind = if kind.is_socket() {
                "a socket"
            } else if kind.is_fifo() {
                "a FIFO"
            } else {
                "a device"
            };
            self.watch.skipped(format!("`{}` is {kind} and is not copied", path.display()));
            Ok(())
        }
    }

    fn below(&self, path: &Path, name: &Name, to: &mut dyn Destination) -> Result<(), Stop> {
        let listed = std::fs::read_dir(path).and_then(|all| all.map(|one| Ok(one?.file_name())).collect());
        let mut inside: Vec<std::ffi::OsString> = match listed {
            Ok(inside) => inside,
            Err(error) => return self.failed(path, &error),
        };
        inside.sort();
        for last in inside {
            let path = path.join(&last);
            match name.join(last.as_bytes()) {
                Ok(name) => self.one(&path, &name, std::fs::symlink_metadata(&path), to)?,
                Err(reason) => self.watch.problem(format!("cannot copy `{}`: {reason}", path.display())),
            }
        }
        Ok(())
    }

    fn file(&self, path: &Path, name: &Name, to: &mut dyn Destination) -> Result<(), Stop> {
        // Between the look and this it may have become something that would block, or lead elsewhere.
        let mut flags = OFlags::NONBLOCK | OFlags::CLOEXEC;
        flags.set(OFlags::NOFOLLOW, self.recursive);
        let flags = i32::try_from(flags.bits()).unwrap_or(0);
        let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
        let (file, found) = match opened.and_then(|file| file.metadata().map(|found| (file, found))) {
            Ok((file, found)) if found.is_file() => (file, found),
            Ok(_) => return self.failed(path, &io::Error::other("it is no file any more")),
            Err(error) => return self.failed(path, &error),
        };
        let content = Content { size: found.len(), segments: segments(&file, &found) };
        let mut data = Packed { parts: content.parts(), at: 0, done: 0, file, short: None };
        self.put(to, &entry(name, Kind::File(content), &found), &mut data)?;
        match data.short {
            None => Ok(()),
            Some(error) => self.failed(path, &error),
        }
    }

    fn put(&self, to: &mut dyn Destination, entry: &Entry, data: &mut dyn Read) -> Result<(), Stop> {
        if self.watch.is_cancelled() {
            return Err(Stop::Closed);
        }
        to.put(entry, &mut self.watch.counting(data))?;
        self.watch.file(entry.content());
        Ok(())
    }

    fn failed(&self, path: &Path, error: &io::Error) -> Result<(), Stop> {
        self.watch.problem(format!("cannot read `{}`: {error}", path.display()));
        Ok(())
    }
}

fn entry(name: &Name, kind: Kind, found: &Metadata) -> Entry {
    let mask = if kind == Kind::Dir { DIR_MODE } else { FILE_MODE };
    Entry { name: name.clone(), kind, mode: found.mode() & mask, mtime: mtime(found) }
}

/// Returns when a file was changed last.
pub fn mtime(found: &Metadata) -> Time {
    Time { seconds: found.mtime(), nanos: u32::try_from(found.mtime_nsec()).unwrap_or(0) }
}

/// Returns the parts with data of a file that takes less room than its size.
fn segments(file: &File, found: &Metadata) -> Option<Vec<Segment>> {
    if found.blocks().saturating_mul(512) >= found.len() {
        return None;
    }
    let mut parts = Vec::new();
    let mut at = 0;
    loop {
        let offset = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(offset) if offset < found.len() => offset,
            // No data after this.
            Ok(_) | Err(rustix::io::Errno::NXIO) => return Some(parts),
            Err(_) => return None,
        };
        let end = rustix::fs::seek(file, SeekFrom::Hole(offset)).ok()?.min(found.len());
        if parts.len() == MAX_SEGMENTS || end <= offset {
            return None;
        }
        parts.push(Segment { offset, length: end - offset });
        at = end;
    }
}

/// The data of a file, its parts one after the other. A file that has become shorter is filled up with zeros: its
/// length has been announced.
struct Packed {
    file: File,
    parts: Vec<Segment>,
    /// The current part, and how much of it has been read.
    at: usize,
    done: u64,
    short: Option<io::Error>,
}

impl Read for Packed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(part) = self.parts.get(self.at) else { return Ok(0) };
            if self.done == part.length {
                (self.at, self.done) = (self.at + 1, 0);
                continue;
            }
            let want = usize::try_from(part.length - self.done).unwrap_or(usize::MAX).min(buffer.len());
            let buffer = buffer.get_mut(..want).unwrap_or_default();
            let count = match &self.short {
                None => match self.file.read_at(buffer, part.offset + self.done) {
                    Ok(0) if want > 0 => {
                        self.short = Some(io::Error::other("it became shorter while it was read"));
                        continue;
                    }
                    Ok(count) => count,
                    Err(error) => {
                        self.short = Some(error);
                        continue;
                    }
                },
                Some(_) => {
                    buffer.fill(0);
                    want
                }
            };
            self.done += count as u64;
            return Ok(count);
        }
    }
}

//! Puts a guest's files into a directory of this machine.
//!
//! Each file appears whole, by a link or a rename. Links are made when all files are there, and directories get their
//! modes and times after that.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::transfer::decode::{Decoder, Next};
use crate::transfer::encode::Cut;
use crate::transfer::entry::{Content, Destination, Entry, Kind, Time, copy_exactly};
use crate::transfer::error::{Stop, StreamError};
use crate::transfer::host_dir::HostDir;
use crate::transfer::name::Name;
use crate::transfer::watch::Watch;

/// The most files, directories and links that are taken in one copy.
pub const MAX_ENTRIES: u64 = 4_000_000;

/// The most bytes of names and targets that are remembered until the end.
const MAX_REMEMBERED: usize = 256 << 20;

/// Which bits of a mode a guest does not decide here: whether others may write to a file.
pub const NOT_FROM_GUESTS: u32 = 0o002;

/// What was asked of a guest.
#[derive(Debug)]
pub struct Asked {
    /// The names at the top; `.` stands for everything inside a directory.
    pub tops: BTreeSet<OsString>,
    /// Whether directories and links may come, or only one file under each name.
    pub recursive: bool,
    /// The only names that are wanted, where they are known.
    pub only: Option<BTreeSet<Name>>,
}

impl Asked {
    /// Reads a guest's stream to its end and hands over what was asked for. Anything else is an error.
    pub fn read<R: Read>(
        mut self,
        decoder: &mut Decoder<R>,
        to: &mut dyn Destination,
        watch: &Watch,
    ) -> Result<(), Stop> {
        let everything = self.tops.contains(std::ffi::OsStr::new("."));
        let mut missing = self.tops.clone();
        // Otherwise nothing says how much it is, or it has been said already.
        let is_one = !self.recursive && self.tops.len() == 1 && self.only.is_none();
        loop {
            let entry = match decoder.entry()? {
                Next::End => break,
                Next::Special(name) => {
                    watch.skipped(format!("`{name}` is a device or a FIFO and is not copied"));
                    continue;
                }
                Next::Entry(entry) => entry,
            };
            let top = if everything { b"." } else { entry.name.first() };
            missing.remove(std::ffi::OsStr::from_bytes(top));
            if entry.name.is_top() && everything && entry.kind == Kind::Dir {
                continue;
            }
            let is_asked = if self.recursive {
                self.only.as_ref().is_none_or(|only| only.contains(&entry.name))
                    && (everything || self.tops.contains(std::ffi::OsStr::from_bytes(top)))
            } else {
                // Each comes once, and as a file.
                matches!(entry.kind, Kind::File(_)) && self.tops.remove(entry.name.as_os_str())
            };
            if !is_asked {
                return Err(StreamError::Unasked { name: entry.name.to_string() }.into());
            }
            if is_one {
                watch.expect(entry.content());
            }
            to.put(&entry, &mut watch.counting(&mut decoder.data()))?;
            watch.file(entry.content());
        }
        decoder.drain()?;
        match missing.first() {
            Some(name) if self.only.is_none() => {
                watch.problem(format!("the VM did not send `{}`", name.to_string_lossy().escape_debug()));
            }
            _ => {}
        }
        Ok(())
    }
}

/// Writes entries into a directory.
pub struct Extractor {
    into: HostDir,
    path: PathBuf,
    /// What the only name at the top is to be called.
    called: Option<OsString>,
    watch: Arc<Watch>,
    dirs: Vec<(Name, u32, Time)>,
    links: Vec<(Name, OsString, Time)>,
    remembered: usize,
}

impl Extractor {
    /// Opens the directory. With `called`, the first component of each name is replaced by it.
    pub fn open(path: &Path, called: Option<OsString>, watch: Arc<Watch>) -> io::Result<Self> {
        let into = HostDir::open(path)?;
        let (dirs, links) = (Vec::new(), Vec::new());
        Ok(Self { into, path: path.to_owned(), called, watch, dirs, links, remembered: 0 })
    }

    /// Makes the links and finishes the directories. Also when the copy broke, so that directories are as they should
    /// be; links only when it is complete.
    pub fn finish(mut self, complete: bool) {
        for (name, target, mtime) in std::mem::take(&mut self.links).into_iter().filter(|_| complete) {
            if let Err(error) = self.into.symlink(&name, &target, mtime) {
                self.problem(&name, &error);
            }
        }
        // Those inside first: a directory can become one that may not be entered.
        for (name, mode, mtime) in std::mem::take(&mut self.dirs).into_iter().rev() {
            if let Err(error) = self.into.finish_dir(&name, mode, mtime) {
                self.problem(&name, &error);
            }
        }
    }

    /// Removes files, and directories with everything in them.
    pub fn remove(mut self, names: &[Name]) {
        for name in names {
            match self.into.remove(name) {
                Ok(()) => self.watch.remove(1),
                Err(error) => {
                    let path = self.shown(name);
                    self.watch.problem(format!("cannot remove `{}`: {error}", path.display()));
                }
            }
        }
    }

    fn problem(&self, name: &Name, error: &io::Error) {
        let hint = match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
            Some(rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR) => {
                " (a link or file is in the place of a directory; links are not followed)"
            }
            _ => "",
        };
        self.watch.problem(format!("cannot write `{}`: {error}{hint}", self.shown(name).display()));
    }

    fn shown(&self, name: &Name) -> PathBuf {
        self.path.join(name.as_os_str())
    }

    fn remember(&mut self, bytes: usize) -> Result<(), StreamError> {
        self.remembered += bytes + 64;
        if self.remembered > MAX_REMEMBERED {
            let what = "bytes of names of directories and links";
            return Err(StreamError::TooMuch { what, limit: MAX_REMEMBERED as u64 });
        }
        Ok(())
    }

    fn file(
        &mut self,
        name: &Name,
        entry: &Entry,
        content: &Content,
        data: &mut dyn Read,
    ) -> Result<(), Stop> {
        let Some((parent, last)) = name.split() else { return Ok(()) };
        let mode = entry.mode & !NOT_FROM_GUESTS;
        let written = self.into.new_file(&parent).and_then(|mut new| {
            write_content(&mut new.file, content, data)?;
            new.place(last, mode, entry.mtime)
        });
        match written {
            Ok(()) => Ok(()),
            Err(error) if Cut::is(&error) => Err(StreamError::Cut.into()),
            Err(source) if is_fatal(&source) => Err(Stop::Write { path: self.shown(name), source }),
            Err(error) => {
                self.problem(name, &error);
                Ok(())
            }
        }
    }
}

impl Destination for Extractor {
    fn put(&mut self, entry: &Entry, data: &mut dyn Read) -> Result<(), Stop> {
        let name = match &self.called {
            Some(called) => entry
                .name
                .with_first(called)
                .map_err(|reason| StreamError::Name { name: entry.name.to_string(), reason })?,
            None => entry.name.clone(),
        };
        match &entry.kind {
            Kind::File(content) => self.file(&name, entry, content, data),
            Kind::Symlink(target) => {
                self.remember(name.as_bytes().len() + target.len())?;
                self.links.push((name, target.clone(), entry.mtime));
                Ok(())
            }
            Kind::Dir => match self.into.make_dir(&name) {
                Ok(()) => {
                    self.remember(name.as_bytes().len())?;
                    self.dirs.push((name, entry.mode & !NOT_FROM_GUESTS, entry.mtime));
                    Ok(())
                }
                Err(source) if is_fatal(&source) => Err(Stop::Write { path: self.shown(&name), source }),
                Err(error) => {
                    self.problem(&name, &error);
                    Ok(())
                }
            },
        }
    }
}

/// Writes a single file to a stream, its holes as zeros.
pub struct ToStream<W>(pub W);

impl<W: Write> Destination for ToStream<W> {
    fn put(&mut self, entry: &Entry, data: &mut dyn Read) -> Result<(), Stop> {
        let Kind::File(content) = &entry.kind else { return Ok(()) };
        let mut at = 0;
        let mut write = || {
            for part in content.parts() {
                copy_exactly(&mut io::repeat(0), &mut self.0, part.offset - at)?;
                copy_exactly(data, &mut self.0, part.length)?;
                at = part.offset + part.length;
            }
            copy_exactly(&mut io::repeat(0), &mut self.0, content.size - at)?;
            self.0.flush()
        };
        write().map_err(|source| match Cut::is(&source) {
            true => StreamError::Cut.into(),
            false => Stop::Write { path: PathBuf::from("/dev/stdout"), source },
        })
    }
}

fn write_content(file: &mut std::fs::File, content: &Content, data: &mut dyn Read) -> io::Result<()> {
    for part in content.parts() {
        if content.segments.is_some() {
            file.seek(SeekFrom::Start(part.offset))?;
        }
        copy_exactly(data, file, part.length)?;
    }
    if content.segments.is_some() {
        file.set_len(content.size)?;
    }
    Ok(())
}

/// Tells whether nothing more can be written after this error.
fn is_fatal(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | ReadOnlyFilesystem)
        || error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}

//! Writes entries as a tar stream in POSIX's format, with GNU's form of sparse files (pax, version 1.0).

use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;

use tar::{Builder, EntryType, Header};

use crate::transfer::entry::{Content, Destination, Entry, Kind, copy_exactly};
use crate::transfer::error::{Stop, StreamError};

/// The size of a block of a tar stream, in bytes.
pub const BLOCK: usize = 512;

/// The longest name that fits a header by itself, in bytes.
const SHORT: usize = 100;

/// Writes entries to a stream, all of them below one directory of it.
pub struct Encoder<W: Write> {
    builder: Builder<W>,
    below: &'static str,
}

impl<W: Write> Encoder<W> {
    /// Writes to a stream. `below` is put before each name, and ends in `/` where it is not empty.
    pub fn new(stream: W, below: &'static str) -> Self {
        Self { builder: Builder::new(stream), below }
    }

    /// Writes a file of a given name at the top of the stream.
    pub fn raw_file(&mut self, name: &str, content: &[u8]) -> Result<(), Stop> {
        let mut header = header(EntryType::Regular, 0o600, content.len() as u64);
        put_name(&mut header, name.as_bytes());
        header.set_cksum();
        self.builder.append(&header, content).map_err(|_| Stop::Closed)
    }

    /// Ends the stream and returns what it was written to.
    pub fn finish(self) -> Result<W, Stop> {
        self.builder.into_inner().map_err(|_| Stop::Closed)
    }

    fn append(&mut self, entry: &Entry, data: &mut dyn Read) -> io::Result<()> {
        let mut name = [self.below.as_bytes(), entry.name.as_bytes()].concat();
        let mut pax: Vec<(&str, Vec<u8>)> = Vec::new();
        let mut map = Vec::new();
        let mut target: &[u8] = b"";
        let (kind, size) = match &entry.kind {
            Kind::Dir => {
                name.push(b'/');
                (EntryType::Directory, 0)
            }
            Kind::Symlink(to) => {
                target = to.as_bytes();
                (EntryType::Symlink, 0)
            }
            Kind::File(content @ Content { segments: Some(_), .. }) => {
                map = sparse_map(content);
                pax.push(("GNU.sparse.major", b"1".to_vec()));
                pax.push(("GNU.sparse.minor", b"0".to_vec()));
                pax.push(("GNU.sparse.name", name.clone()));
                pax.push(("GNU.sparse.realsize", content.size.to_string().into_bytes()));
                (EntryType::Regular, map.len() as u64 + content.packed())
            }
            Kind::File(content) => (EntryType::Regular, content.size),
        };
        let mut header = header(kind, entry.mode, size);
        header.set_mtime(u64::try_from(entry.mtime.seconds).unwrap_or(0));
        if entry.mtime.nanos != 0 || entry.mtime.seconds < 0 {
            pax.push(("mtime", entry.mtime.text().into_bytes()));
        }
        if !put_name(&mut header, &name) {
            pax.push(("path", name));
        }
        if target.len() > SHORT {
            pax.push(("linkpath", target.to_vec()));
        } else if let Some(ustar) = header.as_ustar_mut() {
            copy(&mut ustar.linkname, target);
        }
        header.set_cksum();
        if !pax.is_empty() {
            self.builder.append_pax_extensions(pax.iter().map(|(key, value)| (*key, value.as_slice())))?;
        }
        self.builder.append(&header, io::empty())?;
        // By ourselves: the builder reads 8 KiB at a time.
        let stream = self.builder.get_mut();
        stream.write_all(&map)?;
        copy_exactly(data, stream, size - map.len() as u64)?;
        let padding = size.wrapping_neg() % BLOCK as u64;
        copy_exactly(&mut io::repeat(0), stream, padding)
    }
}

impl<W: Write> Destination for Encoder<W> {
    fn put(&mut self, entry: &Entry, data: &mut dyn Read) -> Result<(), Stop> {
        self.append(entry, data).map_err(|error| {
            // The data come from a guest whose stream broke, or nobody takes them any more.
            if Cut::is(&error) { StreamError::Cut.into() } else { Stop::Closed }
        })
    }
}

/// Marks an error of the reader of an entry's data, as apart from one of the stream that it goes to.
#[derive(Debug, thiserror::Error)]
#[error("the data ended in the middle")]
pub struct Cut;

impl Cut {
    /// Tells whether an error is this one.
    pub fn is(error: &io::Error) -> bool {
        matches!(error.get_ref().and_then(|inner| inner.downcast_ref()), Some(Self))
    }
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header
}

/// Puts a name, or its beginning, into the header; false when it does not fit.
fn put_name(header: &mut Header, name: &[u8]) -> bool {
    if let Some(ustar) = header.as_ustar_mut() {
        copy(&mut ustar.name, name);
    }
    name.len() <= SHORT
}

fn copy(field: &mut [u8], bytes: &[u8]) {
    for (to, from) in field.iter_mut().zip(bytes) {
        *to = *from;
    }
}

/// Writes where a sparse file's data are: decimal numbers, each on a line, padded to a block.
fn sparse_map(content: &Content) -> Vec<u8> {
    let mut parts = content.segments.clone().unwrap_or_default();
    let end = parts.last().map_or(0, |last| last.offset + last.length);
    if end < content.size {
        // A file that ends in a hole is told by an empty part at its end.
        parts.push(crate::transfer::entry::Segment { offset: content.size, length: 0 });
    }
    let mut map = format!("{}\n", parts.len()).into_bytes();
    for part in parts {
        map.extend(format!("{}\n{}\n", part.offset, part.length).bytes());
    }
    map.resize(map.len().next_multiple_of(BLOCK), 0);
    map
}

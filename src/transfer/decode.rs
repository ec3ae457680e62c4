//! Reads a guest's tar stream: POSIX's format, sparse files in GNU's form (pax, version 1.0), and nothing else. Every
//! length is bounded before memory is taken for it, and what is not understood ends the copy.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;

use tar::{EntryType, Header};

use crate::transfer::encode::{BLOCK, Cut};
use crate::transfer::entry::{Content, DIR_MODE, Entry, FILE_MODE, Kind, Segment, Time};
use crate::transfer::error::StreamError;
use crate::transfer::name::Name;
use crate::transfer::pax::Extended;

/// The longest extended header, in bytes: two paths and some numbers.
const MAX_PAX: u64 = 32 * 1024;

/// The most parts with data of one sparse file.
const MAX_SEGMENTS: u64 = 1 << 20;

/// The most bytes of a symbolic link's target, as Linux has it.
const MAX_TARGET: usize = 4095;

/// What comes next in a stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Something to copy. Its data are to be read by [`Decoder::data`].
    Entry(Entry),
    /// A device or a FIFO, which is left out.
    Special(Name),
    /// The end, as it has to be.
    End,
}

/// Reads entries from a stream.
pub struct Decoder<R> {
    input: R,
    /// How much of the current entry's data has not been read.
    left: u64,
    /// How much follows them up to the next header.
    padding: u64,
    entries: u64,
    max_entries: u64,
}

impl<R: Read> Decoder<R> {
    /// Reads from a stream of at most so many entries.
    pub const fn new(input: R, max_entries: u64) -> Self {
        Self { input, left: 0, padding: 0, entries: 0, max_entries }
    }

    /// Returns the next entry. What has not been read of the data of the one before is skipped.
    pub fn entry(&mut self) -> Result<Next, StreamError> {
        self.skip()?;
        self.entries += 1;
        if self.entries > self.max_entries {
            return Err(StreamError::TooMuch { what: "files", limit: self.max_entries });
        }
        let mut extended: Option<Extended> = None;
        loop {
            let mut block = [0; BLOCK];
            self.fill(&mut block)?;
            if block == [0; BLOCK] {
                self.fill(&mut block)?;
                let ends = extended.is_none() && block == [0; BLOCK];
                return if ends { Ok(Next::End) } else { Err(StreamError::Malformed("a block is empty")) };
            }
            let header = Header::from_byte_slice(&block);
            check(header, &block)?;
            let size = header.entry_size().map_err(|_| StreamError::Malformed("a size is no number"))?;
            match header.entry_type() {
                EntryType::XHeader if extended.is_none() => extended = Some(self.extended(size)?),
                kind => return self.read_entry(header, kind, size, extended.unwrap_or_default()),
            }
        }
    }

    /// Reads the data of the current entry.
    pub const fn data(&mut self) -> Data<'_, R> {
        Data(self)
    }

    /// Reads what the stream has after its end: zeros that fill a record up.
    pub fn drain(&mut self) -> Result<(), StreamError> {
        let mut block = [0; BLOCK];
        // A record has 128 blocks, which can come in parts.
        for _ in 0..384 {
            match self.input.read(&mut block).map_err(StreamError::Io)? {
                0 => return Ok(()),
                count if block.iter().take(count).all(|byte| *byte == 0) => {}
                _ => break,
            }
        }
        Err(StreamError::Malformed("there is more after its end"))
    }

    fn read_entry(
        &mut self,
        header: &Header,
        kind: EntryType,
        size: u64,
        extended: Extended,
    ) -> Result<Next, StreamError> {
        let path = extended.path.unwrap_or_else(|| ustar_path(header));
        let raw = extended.sparse_name.as_ref().unwrap_or(&path);
        let shown = || String::from_utf8_lossy(raw.get(..200).unwrap_or(raw)).escape_debug().to_string();
        let name = Name::parse(raw).map_err(|reason| StreamError::Name { name: shown(), reason })?;
        let refused = |kind: &'static str| StreamError::Refused { name: shown(), kind };
        let size = extended.size.unwrap_or(size);
        let mode = header.mode().map_err(|_| StreamError::Malformed("a mode is no number"))?;
        let mtime = match extended.mtime {
            Some(time) => time,
            None => {
                Time { seconds: header.mtime().ok().and_then(|at| at.try_into().ok()).unwrap_or(0), nanos: 0 }
            }
        };
        let (kind, mode) = match kind {
            EntryType::Regular => {
                self.left = size;
                self.padding = size.wrapping_neg() % BLOCK as u64;
                if size > i64::MAX as u64 {
                    return Err(StreamError::Malformed("a size is impossible"));
                }
                let content = match (extended.version, extended.real_size) {
                    ((None, None), None) => Content::dense(size),
                    ((Some(1), Some(0)), Some(real)) => self.sparse(real)?,
                    _ => return Err(refused("a sparse file of a kind that is not known here")),
                };
                (Kind::File(content), mode & FILE_MODE)
            }
            EntryType::Directory => (Kind::Dir, mode & DIR_MODE),
            EntryType::Symlink => {
                let target =
                    extended.link.or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned));
                let target = target.unwrap_or_default();
                if target.is_empty() || target.len() > MAX_TARGET || target.contains(&0) {
                    return Err(refused("a symbolic link that cannot be"));
                }
                (Kind::Symlink(OsString::from_vec(target)), mode & FILE_MODE)
            }
            EntryType::Char | EntryType::Block | EntryType::Fifo => return Ok(Next::Special(name)),
            EntryType::Link => return Err(refused("a hard link")),
            EntryType::XGlobalHeader => return Err(refused("a header for all that follows")),
            _ => return Err(refused("of no kind that is known here")),
        };
        Ok(Next::Entry(Entry { name, kind, mode, mtime }))
    }

    /// Reads an extended header.
    fn extended(&mut self, size: u64) -> Result<Extended, StreamError> {
        if size > MAX_PAX {
            return Err(StreamError::Malformed("an extended header is too long"));
        }
        let mut text = vec![0; usize::try_from(size).unwrap_or(0).next_multiple_of(BLOCK)];
        self.fill(&mut text)?;
        text.truncate(usize::try_from(size).unwrap_or(0));
        Extended::parse(&text)
    }

    /// Reads where a sparse file's data are. The rest of the entry is then the data themselves.
    fn sparse(&mut self, size: u64) -> Result<Content, StreamError> {
        const BAD: StreamError = StreamError::Malformed("where the data of a sparse file are");
        let mut block = [0; BLOCK];
        let mut at = BLOCK;
        let mut number = |decoder: &mut Self| -> Result<u64, StreamError> {
            let mut digits = 0;
            let mut value = 0u64;
            loop {
                if at == BLOCK {
                    if decoder.left < BLOCK as u64 {
                        return Err(BAD);
                    }
                    decoder.fill(&mut block)?;
                    decoder.left -= BLOCK as u64;
                    at = 0;
                }
                let byte = block.get(at).copied().unwrap_or(0);
                at += 1;
                match byte {
                    b'0'..=b'9' if digits < 20 => {
                        let next =
                            value.checked_mul(10).and_then(|ten| ten.checked_add(u64::from(byte - b'0')));
                        value = next.ok_or(BAD)?;
                        digits += 1;
                    }
                    b'\n' if digits > 0 => return Ok(value),
                    _ => return Err(BAD),
                }
            }
        };
        let count = number(self)?;
        if count > MAX_SEGMENTS {
            return Err(StreamError::TooMuch { what: "parts of a sparse file", limit: MAX_SEGMENTS });
        }
        let mut segments = Vec::new();
        let mut end = 0u64;
        for _ in 0..count {
            let segment = Segment { offset: number(self)?, length: number(self)? };
            if segment.offset < end {
                return Err(BAD);
            }
            end = segment.offset.checked_add(segment.length).filter(|end| *end <= size).ok_or(BAD)?;
            if segment.length > 0 {
                segments.push(segment);
            }
        }
        let content = Content { size, segments: Some(segments) };
        let fits = size <= i64::MAX as u64 && content.packed() == self.left;
        if fits { Ok(content) } else { Err(BAD) }
    }

    /// Skips to the next header.
    fn skip(&mut self) -> Result<(), StreamError> {
        let mut rest = self.left + self.padding;
        (self.left, self.padding) = (0, 0);
        let mut buffer = [0; 8192];
        while rest > 0 {
            let want = usize::try_from(rest).unwrap_or(buffer.len()).min(buffer.len());
            self.fill(buffer.get_mut(..want).unwrap_or_default())?;
            rest -= want as u64;
        }
        Ok(())
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), StreamError> {
        self.input.read_exact(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => StreamError::Cut,
            _ => StreamError::Io(error),
        })
    }
}

/// The data of the current entry of a stream. A stream that ends in them is an error that holds a [`Cut`].
pub struct Data<'a, R>(&'a mut Decoder<R>);

impl<R: Read> Read for Data<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let want = usize::try_from(self.0.left).unwrap_or(usize::MAX).min(buffer.len());
        if want == 0 {
            return Ok(0);
        }
        match self.0.input.read(buffer.get_mut(..want).unwrap_or_default())? {
            0 => Err(io::Error::other(Cut)),
            count => {
                self.0.left -= count as u64;
                Ok(count)
            }
        }
    }
}

/// Checks that it is a header of POSIX's format, and whole.
fn check(header: &Header, block: &[u8; BLOCK]) -> Result<(), StreamError> {
    if header.as_ustar().is_none() {
        return Err(StreamError::Malformed("a header is of another format"));
    }
    // The checksum's own eight bytes count as blanks.
    let sum: u32 = block
        .iter()
        .enumerate()
        .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) })
        .sum();
    if header.cksum().ok() == Some(sum) { Ok(()) } else { Err(StreamError::Malformed("a checksum is wrong")) }
}

fn ustar_path(header: &Header) -> Vec<u8> {
    header.path_bytes().into_owned()
}

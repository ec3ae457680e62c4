//! One file, directory or symbolic link on its way, whatever it comes from and goes to.

use std::ffi::OsString;
use std::io::{self, Read};

use crate::transfer::error::Stop;
use crate::transfer::name::Name;

/// A point in time as file systems keep it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Seconds since 1970.
    pub seconds: i64,
    /// Nanoseconds after that, less than a thousand million.
    pub nanos: u32,
}

impl Time {
    /// Reads decimal seconds, as tar writes them: `1700000000.123456789`, `-5.5`.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok().filter(|text| text.len() <= 40)?;
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let seconds: i64 = whole.parse().ok()?;
        let nanos: u32 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
        match (whole.starts_with('-'), nanos) {
            (true, 1..) => Some(Self { seconds: seconds.checked_sub(1)?, nanos: 1_000_000_000 - nanos }),
            _ => Some(Self { seconds, nanos }),
        }
    }

    /// Writes it as [`Time::parse`] reads it.
    pub fn text(self) -> String {
        match self {
            Self { seconds, nanos: 0 } => seconds.to_string(),
            Self { seconds, nanos } if seconds < 0 => {
                // Minus and magnitude: -5.5 is half a second after -6.
                format!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - nanos)
            }
            Self { seconds, nanos } => format!("{seconds}.{nanos:09}"),
        }
    }

    /// Tells whether two files may have been written at the same time, of which one may have lost its fraction of a
    /// second on a file system without any.
    pub const fn may_equal(self, other: Self) -> bool {
        self.seconds == other.seconds && (self.nanos == other.nanos || self.nanos == 0 || other.nanos == 0)
    }
}

/// A part of a file that holds data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where it begins.
    pub offset: u64,
    /// How long it is, in bytes.
    pub length: u64,
}

/// How a file's bytes are spread over its size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Its size in bytes.
    pub size: u64,
    /// The parts with data in order, of a file that has holes.
    pub segments: Option<Vec<Segment>>,
}

impl Content {
    /// A file without holes.
    pub const fn dense(size: u64) -> Self {
        Self { size, segments: None }
    }

    /// Returns how many bytes of data there are.
    pub fn packed(&self) -> u64 {
        self.segments.as_ref().map_or(self.size, |all| all.iter().map(|segment| segment.length).sum())
    }

    /// Returns the parts with data.
    pub fn parts(&self) -> Vec<Segment> {
        self.segments.clone().unwrap_or_else(|| vec![Segment { offset: 0, length: self.size }])
    }
}

/// What kind of file it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Dir,
    /// A regular file.
    File(Content),
    /// A symbolic link and where it points. Never empty.
    Symlink(OsString),
}

/// A file on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name below the top of the copy.
    pub name: Name,
    /// What it is.
    pub kind: Kind,
    /// Permission bits: nine of a file, and the sticky bit of a directory. Set-id bits never travel.
    pub mode: u32,
    /// When it was changed last.
    pub mtime: Time,
}

impl Entry {
    /// Returns how many bytes its content has, holes included; none of a directory or a link.
    pub const fn content(&self) -> u64 {
        match &self.kind {
            Kind::File(content) => content.size,
            Kind::Dir | Kind::Symlink(_) => 0,
        }
    }
}

/// Which bits of a file's mode are kept, and of a directory's.
pub const FILE_MODE: u32 = 0o777;
/// The same for a directory: others' files in a sticky directory are safe only as long as it is one.
pub const DIR_MODE: u32 = 0o1777;

/// Takes what is copied.
pub trait Destination {
    /// Takes an entry; `data` has the bytes of its parts with data one after the other. What concerns this entry alone
    /// has been reported when this returns; an error ends the copy.
    fn put(&mut self, entry: &Entry, data: &mut dyn Read) -> Result<(), Stop>;
}

/// How much is copied at once, in bytes.
pub const CHUNK: usize = 64 * 1024;

/// Copies exactly as many bytes; fewer are an error of kind [`io::ErrorKind::UnexpectedEof`].
pub fn copy_exactly(from: &mut dyn Read, to: &mut dyn io::Write, mut left: u64) -> io::Result<()> {
    let at_once = |left: u64| usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
    let mut buffer = vec![0; at_once(left)];
    while left > 0 {
        let want = at_once(left);
        let part = buffer.get_mut(..want).unwrap_or_default();
        let count = match from.read(part) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        to.write_all(part.get(..count).unwrap_or_default())?;
        left -= count as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_as_tar_writes_them() {
        for (text, seconds, nanos) in [
            ("1", 1, 0),
            ("1.5", 1, 500_000_000),
            ("-5.5", -6, 500_000_000),
            ("1.1234567890", 1, 123_456_789),
        ] {
            assert_eq!(Time::parse(text.as_bytes()), Some(Time { seconds, nanos }), "{text}");
        }
        for bad in ["", "x", "1.x", "1.-5", "99999999999999999999", "1e5"] {
            assert_eq!(Time::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn times_survive(seconds in -1_000_000_000_000i64..1_000_000_000_000, nanos in 0u32..1_000_000_000) {
            // Minus zero and a fraction has no way to be written for everybody; nobody has such files.
            prop_assume!(seconds != -1);
            let time = Time { seconds, nanos };
            prop_assert_eq!(Time::parse(time.text().as_bytes()), Some(time));
        }
    }
}

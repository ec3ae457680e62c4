//! What there is on one side of a copy: each file with what tells whether it has changed.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStringExt;

use sha2::{Digest, Sha256};

use crate::transfer::entry::{DIR_MODE, Destination, Entry, FILE_MODE, Kind, Time};
use crate::transfer::error::{Stop, StreamError};
use crate::transfer::extract::ToStream;
use crate::transfer::name::Name;

/// The most bytes of a guest's list.
pub const MAX_LIST: u64 = 128 << 20;

/// What tells whether a file has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What it is.
    pub kind: ItemKind,
    /// Its permission bits, as far as they travel.
    pub mode: u32,
    /// When it was changed last.
    pub mtime: Time,
}

/// What kind of file it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemKind {
    /// A directory.
    Dir,
    /// A file: its size in bytes, and its SHA-256 where that was asked for and could be had.
    File(u64, Option<[u8; 32]>),
    /// A symbolic link: where it points.
    Symlink(OsString),
}

/// The files by their names in the copy.
pub type Manifest = BTreeMap<Name, Item>;

/// Reads the list that a guest has written. `top` is put before its names. What cannot be copied anyway is left out;
/// a list that is not as it should be is an error.
pub fn parse(list: &[u8], top: &Name) -> Result<Manifest, StreamError> {
    const BAD: StreamError = StreamError::Malformed("a list of files");
    let mut manifest = Manifest::new();
    let Some(list) = list.strip_suffix(b"\0") else {
        return if list.is_empty() { Ok(manifest) } else { Err(StreamError::Cut) };
    };
    let named = |below: &[u8]| {
        let name = || String::from_utf8_lossy(below).escape_debug().to_string();
        top.join(below).map_err(|reason| StreamError::Name { name: name(), reason })
    };
    let number = |bytes: &[u8], radix| {
        let text = std::str::from_utf8(bytes).ok();
        text.and_then(|text| u64::from_str_radix(text, radix).ok()).ok_or(BAD)
    };
    let mut fields = list.split(|byte| *byte == 0);
    while let Some(kind) = fields.next() {
        let mut field = || fields.next().ok_or(BAD);
        let (size, mtime, mode, target, below) = (field()?, field()?, field()?, field()?, field()?);
        if kind == b"#" {
            break;
        }
        let mode = u32::try_from(number(mode, 8)?).map_err(|_| BAD)?;
        let (kind, mask) = match kind {
            b"f" => (ItemKind::File(number(size, 10)?, None), FILE_MODE),
            b"d" => (ItemKind::Dir, DIR_MODE),
            b"l" => (ItemKind::Symlink(OsString::from_vec(target.to_vec())), FILE_MODE),
            _ => continue,
        };
        let name = named(below)?;
        if !name.is_top() {
            let mtime = find_time(mtime).ok_or(BAD)?;
            manifest.insert(name, Item { kind, mode: mode & mask, mtime });
        }
    }
    for line in fields {
        let (sum, below) = line.split_at_checked(66).ok_or(BAD)?;
        let name = named(if below == b"-" { b"" } else { below.strip_prefix(b"./").unwrap_or(below) })?;
        // Without an item it was made after the list was.
        if let Some(Item { kind: ItemKind::File(_, digest), .. }) = manifest.get_mut(&name) {
            *digest = Some(parse_digest(sum).ok_or(BAD)?);
        }
    }
    Ok(manifest)
}

/// Reads a time as find writes it: of one before 1970 it puts what has passed since the second before it, counted
/// upwards, behind that second, counted downwards.
fn find_time(text: &[u8]) -> Option<Time> {
    match text.strip_prefix(b"-") {
        Some(before) if !before.starts_with(b"-") => {
            Time::parse(before).map(|Time { seconds, nanos }| Time { seconds: -seconds, nanos })
        }
        _ => Time::parse(text),
    }
}

fn parse_digest(hex: &[u8]) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(hex.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(digest)
}

/// Makes a manifest of what is copied to it.
#[derive(Debug, Default)]
pub struct Collector {
    /// The files.
    pub manifest: Manifest,
    /// Whether sums are wanted.
    pub sums: bool,
}

impl Destination for Collector {
    fn put(&mut self, entry: &Entry, data: &mut dyn Read) -> Result<(), Stop> {
        let kind = match &entry.kind {
            Kind::Dir => ItemKind::Dir,
            Kind::Symlink(target) => ItemKind::Symlink(target.clone()),
            Kind::File(content) => {
                let digest = if self.sums {
                    let mut hash = ToStream(Hash(Sha256::new()));
                    hash.put(entry, data)?;
                    Some(hash.0.0.finalize().into())
                } else {
                    None
                };
                ItemKind::File(content.size, digest)
            }
        };
        self.manifest.insert(entry.name.clone(), Item { kind, mode: entry.mode, mtime: entry.mtime });
        Ok(())
    }
}

struct Hash(Sha256);

impl Write for Hash {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Writes records as find does.
    fn list(records: &[[&[u8]; 6]]) -> Vec<u8> {
        records.iter().flatten().flat_map(|field| [field, b"\0".as_slice()].concat()).collect()
    }

    fn example() -> Vec<u8> {
        list(&[
            [b"d", b"4096", b"1.5", b"755", b"", b""],
            [b"f", b"3", b"2.0", b"1644", b"", b"a\nb"],
            [b"l", b"1", b"-5.2500000000", b"777", b"to", b"sub/l"],
            [b"p", b"0", b"1", b"644", b"", b"fifo"],
        ])
    }

    #[test]
    fn lists_of_guests() {
        let top = Name::parse(b"top").unwrap();
        let manifest = parse(&example(), &top).unwrap();
        let names: Vec<_> = manifest.keys().map(Name::as_bytes).collect();
        assert_eq!(names, [&b"top"[..], b"top/a\nb", b"top/sub/l"]);
        let file = &manifest[&Name::parse(b"top/a\nb").unwrap()];
        assert_eq!((&file.kind, file.mode), (&ItemKind::File(3, None), 0o644));
        let link = &manifest[&Name::parse(b"top/sub/l").unwrap()];
        assert_eq!(link.mtime, Time { seconds: -5, nanos: 250_000_000 });
        let sum = [b"00".repeat(32), b" *./a\nb\0".to_vec()].concat();
        let manifest =
            parse(&[example(), list(&[[b"#", b"", b"", b"", b"", b""]]), sum].concat(), &top).unwrap();
        let file = &manifest[&Name::parse(b"top/a\nb").unwrap()];
        assert_eq!(file.kind, ItemKind::File(3, Some([0; 32])));
        assert_eq!(parse(b"", &top).unwrap(), Manifest::new());
    }

    #[test]
    fn lists_that_lead_elsewhere_or_are_cut() {
        let top = Name::default();
        for below in [&b"../x"[..], b"/etc", b"a//b", b"a/../../b"] {
            let list = list(&[[b"f", b"3", b"2", b"644", b"", below]]);
            assert!(matches!(parse(&list, &top), Err(StreamError::Name { .. })));
        }
        let whole = example();
        for end in 1..whole.len() {
            // One that ends between two records is told by the exit code of what wrote it.
            let is_whole =
                whole[..end].iter().filter(|byte| **byte == 0).count() % 6 == 0 && whole[end - 1] == 0;
            assert_eq!(parse(&whole[..end], &top).is_ok(), is_whole, "{end}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(list in proptest::collection::vec(prop_oneof![Just(0u8), Just(b'f'), Just(b'1'), Just(b'/'), Just(b'#'), any::<u8>()], 0..200)) {
            let _ = parse(&list, &Name::default());
        }
    }
}

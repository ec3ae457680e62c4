//! Streams that a hostile guest could send: whatever they are, nothing outside the destination changes, and nothing
//! half-made stays in it.

use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use crate::transfer::decode::{Decoder, Next};
use crate::transfer::encode::{BLOCK, Encoder};
use crate::transfer::entry::{Content, Destination, Entry, Kind, Segment, Time};
use crate::transfer::error::{Stop, StreamError};
use crate::transfer::extract::{Asked, Extractor};
use crate::transfer::name::Name;
use crate::transfer::watch::{Report, Watch};

/// A destination, and beside it what is none of a guest's business.
struct World {
    dir: tempfile::TempDir,
    told: Arc<Mutex<Vec<Report>>>,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("dest")).unwrap();
        fs::create_dir(dir.path().join("outside")).unwrap();
        fs::write(dir.path().join("outside/canary"), "alive").unwrap();
        Self { dir, told: Arc::default() }
    }

    fn dest(&self, below: &str) -> PathBuf {
        self.dir.path().join("dest").join(below)
    }

    fn outside(&self) -> PathBuf {
        self.dir.path().join("outside")
    }

    /// Takes a stream of `top`, and checks that nothing outside has changed and nothing half-made is left.
    fn take(&self, stream: impl Read, recursive: bool) -> Result<(), Stop> {
        let told = Arc::clone(&self.told);
        let watch = Arc::new(Watch::new(move |report| told.lock().unwrap().push(report)));
        let asked = Asked { tops: ["top".into()].into(), recursive, only: None };
        let mut extractor = Extractor::open(&self.dest(""), None, Arc::clone(&watch)).unwrap();
        let taken = asked.read(&mut Decoder::new(stream, 1000), &mut extractor, &watch);
        extractor.finish(taken.is_ok());
        let all: Vec<_> =
            tree(self.dir.path()).into_iter().filter(|path| !path.starts_with(self.dest(""))).collect();
        let expected = [self.dir.path().to_owned(), self.outside(), self.outside().join("canary")];
        assert_eq!(all, expected);
        assert_eq!(fs::read(self.outside().join("canary")).unwrap(), b"alive");
        for path in tree(&self.dest("")) {
            assert!(!path.to_string_lossy().contains(".ai-vm-cp."), "{path:?} was left");
        }
        taken
    }

    fn problems(&self) -> usize {
        self.told.lock().unwrap().iter().filter(|report| matches!(report, Report::Problem(_))).count()
    }
}

fn tree(path: &Path) -> Vec<PathBuf> {
    let mut all = vec![path.to_owned()];
    if path.symlink_metadata().unwrap().is_dir() {
        let mut inside: Vec<_> = fs::read_dir(path).unwrap().map(|one| one.unwrap().path()).collect();
        inside.sort();
        all.extend(inside.iter().flat_map(|path| tree(path)));
    }
    all
}

/// A header as any program could write it.
fn block(kind: u8, name: &[u8], size: u64, target: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_size(size);
    header.set_mode(0o6777);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1);
    let ustar = header.as_ustar_mut().unwrap();
    ustar.name[..name.len()].copy_from_slice(name);
    ustar.linkname[..target.len()].copy_from_slice(target);
    header.set_cksum();
    header.as_bytes().to_vec()
}

fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

fn file(name: &[u8], content: &[u8]) -> Vec<u8> {
    [block(b'0', name, content.len() as u64, b""), padded(content)].concat()
}

fn pax(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = [b" ", key.as_bytes(), b"=", value, b"\n"].concat();
    let mut length = rest.len() + 1;
    while length.to_string().len() + rest.len() != length {
        length = length.to_string().len() + rest.len();
    }
    let record = [length.to_string().as_bytes(), &rest].concat();
    [block(b'x', b"pax", record.len() as u64, b""), padded(&record)].concat()
}

fn stream(parts: &[Vec<u8>]) -> Vec<u8> {
    [parts.concat(), vec![0; 2 * BLOCK]].concat()
}

fn dir(name: &[u8]) -> Vec<u8> {
    block(b'5', name, 0, b"")
}

fn link(name: &[u8], target: &[u8]) -> Vec<u8> {
    block(b'2', name, 0, target)
}

#[test]
fn names_that_lead_elsewhere_end_the_copy() {
    let long = b"top/".repeat(2000);
    for name in [
        &b"/etc/canary"[..],
        b"../outside/canary",
        b"top/../../outside/canary",
        b"top//canary",
        b"top/./canary",
        b"..",
        b"top/\0canary",
        &long,
    ] {
        for bad in [file(b"x", b"evil"), dir(b"x"), link(b"x", b"y")] {
            let world = World::new();
            let taken = world.take(&stream(&[dir(b"top/"), pax("path", name), bad])[..], true);
            assert!(matches!(taken, Err(Stop::Stream(StreamError::Name { .. }))), "{name:?}: {taken:?}");
        }
    }
}

#[test]
fn what_was_not_asked_for_ends_the_copy() {
    for (bad, recursive) in [
        (file(b"other", b"evil"), true),
        (file(b".", b"evil"), true),
        (file(b"topping", b"evil"), true),
        (file(b"other", b"evil"), false),
        (dir(b"top/"), false),
        (link(b"top", b"/etc/passwd"), false),
        (file(b"top/inside", b"evil"), false),
        ([file(b"top", b"1"), file(b"top", b"2")].concat(), false),
    ] {
        let world = World::new();
        let taken = world.take(&stream(&[bad])[..], recursive);
        assert!(matches!(taken, Err(Stop::Stream(StreamError::Unasked { .. }))), "{taken:?}");
    }
    let world = World::new();
    world.take(&stream(&[])[..], false).unwrap();
    assert_eq!(world.problems(), 1, "a file that did not come was not missed");
}

#[test]
fn no_link_leads_out() {
    let world = World::new();
    let outside = world.outside();
    let outside = outside.as_os_str().as_bytes();
    // One that was sent.
    let sent = stream(&[
        dir(b"top/"),
        link(b"top/l", outside),
        file(b"top/l/canary", b"evil"),
        dir(b"top/l/made"),
        link(b"top/l/link", b"x"),
    ]);
    world.take(&sent[..], true).unwrap();
    // The link is made, and nothing goes through it.
    assert!(world.dest("top/l").is_symlink());
    assert_eq!(world.problems(), 3);
    // One that was there.
    let world = World::new();
    fs::create_dir(world.dest("top")).unwrap();
    symlink(world.outside(), world.dest("top/dir")).unwrap();
    symlink(world.outside().join("canary"), world.dest("top/file")).unwrap();
    let sent = stream(&[
        dir(b"top/"),
        dir(b"top/dir"),
        file(b"top/dir/canary", b"evil"),
        link(b"top/dir/link", b"x"),
        file(b"top/file", b"new"),
    ]);
    world.take(&sent[..], true).unwrap();
    assert_eq!(world.problems(), 3);
    // A file takes the place of a link.
    assert!(fs::symlink_metadata(world.dest("top/file")).unwrap().is_file());
    // The top itself.
    let world = World::new();
    symlink(world.outside(), world.dest("top")).unwrap();
    world.take(&stream(&[dir(b"top/"), file(b"top/canary", b"evil")])[..], true).unwrap();
    assert_eq!(world.problems(), 2);
}

#[test]
fn a_directory_that_becomes_a_link_meanwhile_does_not_lead_out() {
    let world = World::new();
    fs::create_dir(world.dest("top")).unwrap();
    let (swapped, aside) = (world.dest("top/d"), world.dest("aside"));
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let _ = fs::rename(&swapped, &aside);
                let _ = symlink(world.outside(), &swapped);
                let _ = fs::remove_file(&swapped);
                let _ = fs::rename(&aside, &swapped);
            }
        });
        let parts: Vec<_> = (0..400).flat_map(|_| [dir(b"top/d"), file(b"top/d/canary", b"evil")]).collect();
        for _ in 0..5 {
            // Some are refused, some go into the directory; `take` looks at what is outside.
            let told = Arc::new(Watch::new(|_| {}));
            let asked = Asked { tops: ["top".into()].into(), recursive: true, only: None };
            let mut extractor = Extractor::open(&world.dest(""), None, Arc::clone(&told)).unwrap();
            asked.read(&mut Decoder::new(&stream(&parts)[..], 1000), &mut extractor, &told).unwrap();
            extractor.finish(true);
            assert_eq!(fs::read(world.outside().join("canary")).unwrap(), b"alive");
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(tree(&world.outside()).len(), 2);
}

#[test]
fn kinds_that_are_not_taken() {
    for (bad, what) in [
        (block(b'1', b"top", 0, b"/etc/passwd"), "hard link"),
        (block(b'g', b"top", 0, b""), "global header"),
        (block(b'L', b"top", 0, b""), "long name of GNU's format"),
        (block(b'S', b"top", 0, b""), "sparse file of GNU's format"),
        (block(b'V', b"top", 0, b""), "volume"),
        (link(b"top", b""), "link to nowhere"),
        ([pax("linkpath", b"a\0b"), link(b"top", b"x")].concat(), "link with NUL"),
        ([pax("GNU.sparse.map", b"0,1"), pax("x", b"y"), file(b"top", b"")].concat(), "two headers"),
        ([pax("GNU.sparse.major", b"0"), file(b"top", b"")].concat(), "sparse file of another kind"),
    ] {
        let taken = World::new().take(&stream(&[bad])[..], true);
        assert!(matches!(taken, Err(Stop::Stream(StreamError::Refused { .. }))), "{what}: {taken:?}");
    }
    let world = World::new();
    let devices = [b'3', b'4', b'6'].map(|kind| block(kind, b"top", 0, b""));
    world.take(&stream(&[devices.concat(), file(b"top", b"file")])[..], true).unwrap();
    assert_eq!(world.told.lock().unwrap().len(), 3);
    assert_eq!(world.problems(), 0);
    // Bits that give rights are gone.
    assert_eq!(fs::metadata(world.dest("top")).unwrap().mode() & 0o7777, 0o775);
}

#[test]
fn lengths_are_not_believed() {
    let sparse = |real: &str, map: &str, data: &[u8]| {
        let value = [("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.realsize", real)];
        let records: String = value
            .iter()
            .map(|(key, value)| {
                let rest = format!(" {key}={value}\n");
                format!("{}{rest}", rest.len() + 2)
            })
            .collect();
        let head = [block(b'x', b"pax", records.len() as u64, b""), padded(records.as_bytes())].concat();
        [head, file(b"top", &[padded(map.as_bytes()), data.to_vec()].concat())].concat()
    };
    for (bad, what) in [
        (block(b'x', b"pax", 1 << 40, b""), "a huge extended header"),
        (block(b'0', b"top", u64::MAX, b""), "a size that is none"),
        ([pax("size", b"18446744073709551615"), file(b"top", b"")].concat(), "the same"),
        ([pax("size", b"-1"), file(b"top", b"")].concat(), "a negative size"),
        ([pax("mtime", b"soon"), file(b"top", b"")].concat(), "a time that is none"),
        ([block(b'x', b"pax", 10, b""), padded(b"99 a=b\n")].concat(), "a record that lies"),
        (sparse("10", "1\n5\n6\n", b"123456"), "data after the end"),
        (sparse("10", "2\n5\n2\n4\n2\n", b"1234"), "parts that overlap"),
        (sparse("10", "1\n0\n4\n", b"123"), "fewer data than parts"),
        (sparse("10", "1\n18446744073709551615\n2\n", b"12"), "a part at the end of numbers"),
        (sparse("99999999999999999999", "0\n", b""), "a size of too many digits"),
        (sparse("10", "x\n", b""), "no number"),
        (sparse("10", "9999999\n", b""), "more parts than there are bytes"),
        (vec![1; BLOCK], "no header"),
        (vec![0; BLOCK], "one empty block"),
    ] {
        let world = World::new();
        let taken = world.take(&[bad, file(b"top", b"x"), vec![0; 2 * BLOCK]].concat()[..], true);
        assert!(matches!(taken, Err(Stop::Stream(_))), "{what}: {taken:?}");
        assert!(!world.dest("top").exists(), "{what}");
    }
    // One that claims to be as large as can be takes no room.
    let world = World::new();
    let _ = world.take(&stream(&[sparse("9223372036854775807", "1\n0\n1\n", b"x")])[..], true);
    let most = fs::metadata(world.dest("top")).map_or(0, |found| found.blocks());
    assert!(most < 100, "{most}");
}

#[test]
fn a_stream_without_end_ends() {
    struct Endless(Vec<u8>, usize);
    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            for byte in buffer.iter_mut() {
                *byte = self.0[self.1 % self.0.len()];
                self.1 += 1;
            }
            Ok(buffer.len())
        }
    }
    for (part, what) in [
        (file(b"top", b"x"), "files"),
        (link(b"top", b"x"), "links"),
        (block(b'3', b"top", 0, b""), "devices"),
    ] {
        let taken = World::new().take(Endless(part, 0), true);
        assert!(matches!(taken, Err(Stop::Stream(StreamError::TooMuch { .. }))), "{what}: {taken:?}");
    }
    let taken = World::new().take((&stream(&[])[..]).chain(Endless(vec![0], 0)), true);
    assert!(taken.is_err(), "zeros without end");
}

#[test]
fn a_stream_that_is_cut_leaves_no_half_file() {
    let big = vec![7; 3000];
    let whole = stream(&[dir(b"top/"), file(b"top/a", &big), link(b"top/l", b"a"), file(b"top/b", &big)]);
    for end in 0..whole.len() {
        // Everywhere near a block's edge, and a few places in between.
        if end % BLOCK > 1 && end % 97 != 0 {
            continue;
        }
        let world = World::new();
        let taken = world.take(&whole[..end], true);
        assert!(matches!(taken, Err(Stop::Stream(StreamError::Cut))), "{end}: {taken:?}");
        for name in ["top/a", "top/b"] {
            assert!(
                fs::read(world.dest(name)).is_ok_and(|content| content == big) || !world.dest(name).exists()
            );
        }
        assert!(!world.dest("top/l").is_symlink());
    }
    World::new().take(&whole[..], true).unwrap();
}

#[test]
fn one_in_the_place_of_another() {
    let world = World::new();
    let sent = stream(&[
        dir(b"top/"),
        file(b"top/a", b"1"),
        file(b"top/a", b"2"),
        dir(b"top/a"),
        file(b"top/a/b", b"3"),
        dir(b"top/d"),
        file(b"top/d", b"4"),
        link(b"top/d", b"x"),
        file(b"top/A", b"5"),
    ]);
    world.take(&sent[..], true).unwrap();
    assert_eq!(fs::read(world.dest("top/a")).unwrap(), b"2");
    assert_eq!(fs::read(world.dest("top/A")).unwrap(), b"5");
    assert!(fs::symlink_metadata(world.dest("top/d")).unwrap().is_dir());
    assert_eq!(world.problems(), 4);
}

fn any_entry() -> impl Strategy<Value = (Entry, Vec<u8>)> {
    let part = proptest::collection::vec(1u8..=255, 1..120)
        .prop_filter("no dots", |part| !part.contains(&b'/') && part != b"." && part != b"..");
    let name =
        proptest::collection::vec(part, 1..4).prop_map(|parts| Name::parse(&parts.join(&b'/')).unwrap());
    let content = proptest::collection::vec(any::<u8>(), 0..1500);
    let kind = prop_oneof![
        Just((Kind::Dir, Vec::new())),
        proptest::collection::vec(1u8.., 1..300).prop_map(|target| {
            (Kind::Symlink(std::ffi::OsStr::from_bytes(&target).to_owned()), Vec::new())
        }),
        content.prop_map(|data| (Kind::File(Content::dense(data.len() as u64)), data)),
        proptest::collection::vec((0u64..1 << 40, 1u64..400), 0..30).prop_map(|parts| {
            let mut end = 0;
            let mut segments = Vec::new();
            for (gap, length) in parts {
                segments.push(Segment { offset: end + gap + 1, length });
                end += gap + 1 + length;
            }
            let data = vec![5; segments.iter().map(|part| part.length as usize).sum()];
            (Kind::File(Content { size: end + 7, segments: Some(segments) }), data)
        }),
    ];
    (name, kind, 0u32..0o1000, 0i64..1 << 40, 0u32..1_000_000_000).prop_map(
        |(name, (kind, data), mode, seconds, nanos)| {
            (Entry { name, kind, mode, mtime: Time { seconds, nanos } }, data)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_is_encoded_is_decoded(entries in proptest::collection::vec(any_entry(), 0..5)) {
        let mut encoder = Encoder::new(Vec::new(), "");
        for (entry, data) in &entries {
            encoder.put(entry, &mut &data[..]).unwrap();
        }
        let bytes = encoder.finish().unwrap();
        let mut decoder = Decoder::new(&bytes[..], 100);
        for (entry, data) in entries {
            prop_assert_eq!(decoder.entry().unwrap(), Next::Entry(entry));
            let mut read = Vec::new();
            decoder.data().read_to_end(&mut read).unwrap();
            prop_assert_eq!(read, data);
        }
        prop_assert_eq!(decoder.entry().unwrap(), Next::End);
        decoder.drain().unwrap();
    }

    #[test]
    fn a_stream_with_wrong_bytes_does_no_harm(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 0..6)) {
        let mut bytes = stream(&[
            dir(b"top/"),
            pax("path", b"top/long"),
            file(b"x", b"content"),
            link(b"top/l", b"../../outside"),
            file(b"top/l/f", b"evil"),
        ]);
        for (at, byte, repair) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            // A checksum keeps nobody out.
            let start = at / BLOCK * BLOCK;
            if repair {
                let mut header = tar::Header::from_byte_slice(&bytes[start..start + BLOCK]).clone();
                header.set_cksum();
                bytes[start..start + BLOCK].copy_from_slice(header.as_bytes());
            }
        }
        let _ = World::new().take(&bytes[..], true);
    }
}

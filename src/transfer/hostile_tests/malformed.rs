//! What is no stream as it should be.

use super::*;
use crate::transfer::encode::BLOCK;
use crate::transfer::error::{Stop, StreamError};
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;

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

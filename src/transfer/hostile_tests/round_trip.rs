//! Streams of our own, whole and with wrong bytes.

use super::*;
use crate::transfer::decode::{Decoder, Next};
use crate::transfer::encode::{BLOCK, Encoder};
use crate::transfer::entry::{Content, Destination, Entry, Kind, Segment, Time};
use crate::transfer::name::Name;
use proptest::prelude::*;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;

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

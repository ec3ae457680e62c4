//! What was sent to a guest before, as a file in it says. A guest can write anything there: all that follows from it is
//! what is sent to and removed from that same guest. Pure.

use std::collections::BTreeMap;

use crate::transfer::name::Name;

/// The file's name below `~/.claude`. Last in the order in which a copy puts files in place, so that it never speaks of
/// what is not there yet.
pub const FILE: &str = ".ai-vm-sync";

/// The most bytes of it that are read.
pub const MAX: usize = 32 << 20;

/// What was sent before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Of all that was to be there.
    pub digest: String,
    /// The files, each with what tells it from what it was before; empty of one that was to be removed.
    pub files: BTreeMap<Name, String>,
}

impl State {
    /// Reads it: the digest, then a name and what tells it from others, each ended by NUL. What is not as it should be is
    /// as if there were none.
    pub fn parse(bytes: &[u8]) -> Self {
        let read = || {
            let mut fields = bytes.strip_suffix(b"\0")?.split(|byte| *byte == 0);
            let digest = String::from_utf8(fields.next()?.to_vec()).ok()?;
            let mut files = BTreeMap::new();
            while let Some(name) = fields.next() {
                let print = String::from_utf8(fields.next()?.to_vec()).ok()?;
                let name = Name::parse(name).ok().filter(|name| !name.is_top())?;
                files.insert(name, print);
            }
            Some(Self { digest, files })
        };
        read().unwrap_or_default()
    }

    /// Writes it as [`State::parse`] reads it.
    pub fn write(&self) -> Vec<u8> {
        let mut bytes = [self.digest.as_bytes(), b"\0"].concat();
        for (name, print) in &self.files {
            bytes.extend([name.as_bytes(), b"\0", print.as_bytes(), b"\0"].concat());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_read_as_it_was_written(
            digest in "[0-9a-f]{64}",
            names in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..20), 0..10)
        ) {
            let names = names.iter().filter_map(|name| Name::parse(name).ok()).filter(|name| !name.is_top());
            let files = names.map(|name| (name, "0123".to_owned())).collect();
            let state = State { digest, files };
            prop_assert_eq!(State::parse(&state.write()), state);
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(prop_oneof![Just(0u8), Just(b'/'), Just(b'.'), any::<u8>()], 0..60)) {
            for name in State::parse(&bytes).files.keys() {
                prop_assert!(!name.as_bytes().starts_with(b"/") && name.components().all(|part| part != b".."));
            }
        }
    }
}

//! Folders of the host that a VM sees, and what they are called on the way there and in the guest.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The most folders that a VM has: each takes one of the 32 places on its bus.
pub const MAX: usize = 16;

/// The longest mount tag, in bytes: what QEMU takes (`MAX_TAG_LEN` of fsdev/file-op-9p.h, with its final zero).
const MAX_TAG: usize = 31;

/// The longest name in a directory, in bytes.
const MAX_NAME: usize = 255;

/// Whether a guest may change what it sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShareMode {
    /// It may write.
    Rw,
    /// It may only read, whatever it does.
    Ro,
}

impl ShareMode {
    /// Returns the directory of the guest in which such folders are.
    pub const fn place(self) -> &'static str {
        match self {
            Self::Rw => "/mnt/host-rw",
            Self::Ro => "/mnt/host-ro",
        }
    }

    /// Tells whether the guest may write.
    pub const fn is_writable(self) -> bool {
        matches!(self, Self::Rw)
    }
}

impl fmt::Display for ShareMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Rw => "rw",
            Self::Ro => "ro",
        })
    }
}

/// A folder of the host that a VM sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Share {
    /// The folder: absolute, and without links when it was shared.
    pub path: PathBuf,
    /// Whether the guest may write.
    pub mode: ShareMode,
    /// Its name in the guest; no other share of the VM has it.
    pub name: String,
    /// Whether the user has shared it against advice, by `--i-know`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub i_know: bool,
}

/// A share as a record has it, which may have been edited by hand.
#[derive(Deserialize)]
struct Unchecked {
    path: PathBuf,
    mode: ShareMode,
    name: String,
    #[serde(default)]
    i_know: bool,
}

/// Why a share of a record is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShareFormError {
    /// A path that means another folder in each directory.
    #[error("the path of a share has to be absolute, not `{}`", path.display())]
    Path {
        /// The path.
        path: PathBuf,
    },
    /// A name that is none, or leads elsewhere.
    #[error("a share cannot be called `{}` in the guest", name.escape_debug())]
    Name {
        /// The name.
        name: String,
    },
}

impl TryFrom<Unchecked> for Share {
    type Error = ShareFormError;

    fn try_from(Unchecked { path, mode, name, i_know }: Unchecked) -> Result<Self, ShareFormError> {
        if !path.is_absolute() {
            return Err(ShareFormError::Path { path });
        }
        let is_name = !matches!(name.as_str(), "" | "." | "..") && name.len() <= MAX_NAME;
        if !is_name || name.contains('/') || tame(&name) != name {
            return Err(ShareFormError::Name { name });
        }
        Ok(Self { path, mode, name, i_know })
    }
}

impl Share {
    /// Makes the share of a folder, of which the path is absolute and without links, beside those that the VM has. It
    /// is called as the folder is; where another share is called so, a part of the path's digest is added.
    pub fn new(path: PathBuf, mode: ShareMode, i_know: bool, has: &[Self]) -> Self {
        let base = base_name(&path);
        let digest = digest(&path);
        let longer = (8..=digest.len()).filter_map(|length| {
            let part = digest.get(..length)?;
            Some(format!("{}-{part}", start(&base, MAX_NAME - 1 - length)))
        });
        let mut names = std::iter::once(base.clone()).chain(longer);
        let free = names.find(|name| has.iter().all(|share| share.name != *name));
        Self { path, mode, name: free.unwrap_or(base), i_know }
    }

    /// Returns where the guest has it.
    pub fn guest_path(&self) -> String {
        format!("{}/{}", self.mode.place(), self.name)
    }

    /// Returns the name by which the guest asks QEMU for it: of letters, digits, `.`, `_` and `-`, and at most 31 bytes,
    /// whatever the path has.
    pub fn tag(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' };
        let digest = digest(&self.path);
        let part = digest.get(..8).unwrap_or_default();
        let base: String = base_name(&self.path).chars().map(plain).collect();
        let tag = format!("{}-{part}-{base}", self.mode);
        start(&tag, MAX_TAG).to_owned()
    }
}

/// Returns the last part of a path as it can be called in a guest.
fn base_name(path: &Path) -> String {
    tame(&path.file_name().unwrap_or_default().to_string_lossy())
}

/// Replaces what a line of systemd's unit files cannot hold: control characters, a backslash, and blanks at the end.
fn tame(name: &str) -> String {
    let end = name.trim_end_matches(' ').len();
    let tame = |(at, c): (usize, char)| if c.is_control() || c == '\\' || at >= end { '_' } else { c };
    name.char_indices().map(tame).collect()
}

/// Returns the SHA-256 of a path's bytes in hexadecimal.
fn digest(path: &Path) -> String {
    let digest = Sha256::digest(path.as_os_str().as_encoded_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns as much of a text's start as fits into so many bytes.
fn start(text: &str, bytes: usize) -> &str {
    let end = text.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= bytes).last();
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn share(path: &str, has: &[Share]) -> Share {
        Share::new(path.into(), ShareMode::Rw, false, has)
    }

    #[test]
    fn named_like_the_folder_and_each_once() {
        let first = share("/a/web", &[]);
        let second = share("/b/web", std::slice::from_ref(&first));
        assert_eq!((first.name.as_str(), second.name.as_str()), ("web", "web-c153fa83"));
        assert_eq!(second.guest_path(), "/mnt/host-rw/web-c153fa83");
        // One that is called as the second would be.
        let taken = share("/c/web-c153fa83", &[]);
        let third = share("/b/web", &[first, taken]);
        assert_eq!(third.name, "web-c153fa833");
        assert_eq!(share("/x/a\n\\b  ", &[]).name, "a__b__");
        assert_eq!(share("/x/ a, \"b' ü%$", &[]).name, " a, \"b' ü%$");
        let long = format!("/x/{}", "ü".repeat(127));
        let other = share(&format!("/y{long}"), &[share(&long, &[])]);
        assert!(other.name.len() <= MAX_NAME && other.name.ends_with(&digest(&other.path)[..8]));
    }

    #[test]
    fn tags_are_what_qemu_takes() {
        let mut share = share("/home/u/my project, \"ü\"", &[]);
        assert_eq!(share.tag(), "rw-39183f6e-my_project_____");
        share.mode = ShareMode::Ro;
        assert!(share.tag().starts_with("ro-"));
    }

    #[test]
    fn a_record_that_was_edited_is_checked() {
        let read = |path: &str, name: &str| {
            toml::from_str::<Share>(&format!("path = {path:?}\nmode = \"ro\"\nname = {name:?}"))
        };
        assert!(read("/a b", "a b").is_ok());
        for (path, name) in [
            ("a", "a"),
            ("/a", ""),
            ("/a", ".."),
            ("/a", "x/../y"),
            ("/a", "a\n"),
            ("/a", "a "),
            ("/a", "\\"),
        ] {
            assert!(read(path, name).is_err(), "{path:?} as {name:?} was accepted");
        }
    }

    proptest! {
        #[test]
        fn whatever_the_folders_are_called(names in proptest::collection::vec("[^/\u{0}]{1,60}", 1..MAX)) {
            let mut shares: Vec<Share> = Vec::new();
            let dirs = names.iter().enumerate().filter(|(_, name)| !matches!(name.as_str(), "." | ".."));
            for (number, name) in dirs {
                let new = share(&format!("/d{}/{name}", number % 3), &shares);
                if shares.iter().all(|share| share.path != new.path) {
                    shares.push(new);
                }
            }
            let distinct: BTreeSet<&str> = shares.iter().map(|share| share.name.as_str()).collect();
            prop_assert_eq!(distinct.len(), shares.len());
            for share in &shares {
                let tag = share.tag();
                prop_assert!(tag.len() <= MAX_TAG && tag.starts_with("rw-"));
                prop_assert!(tag.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)), "{tag}");
                prop_assert!(!share.name.contains('/') && share.name.len() <= MAX_NAME);
                let written = toml::to_string(share).unwrap();
                prop_assert_eq!(&toml::from_str::<Share>(&written).unwrap(), share);
            }
        }

        #[test]
        fn what_is_removed_renames_nothing(count in 2..MAX, gone in any::<prop::sample::Index>()) {
            let mut shares: Vec<Share> = Vec::new();
            for number in 0..count {
                shares.push(share(&format!("/{number}/web"), &shares));
            }
            let removed = shares.remove(gone.index(count));
            // It gets its name back, or another one that is free.
            let again = share(removed.path.to_str().unwrap(), &shares);
            prop_assert!(shares.iter().all(|share| share.name != again.name));
            prop_assert_eq!(again.tag(), removed.tag());
        }
    }
}

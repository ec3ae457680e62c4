//! The name of a file below the top of a copy, checked once and trusted afterwards. Pure.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// The longest name in bytes, as Linux has it for paths.
const MAX: usize = 4095;

/// The longest component in bytes, as Linux has it.
const MAX_COMPONENT: usize = 255;

/// The most components of a name: each is a directory that has to be opened.
const MAX_DEPTH: usize = 512;

/// A relative path of any bytes but NUL, without empty components, `.` and `..`. The empty name is the top itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Vec<u8>);

/// Why something is not the name of a file below the top of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// It begins at the root.
    #[error("it is an absolute path")]
    Absolute,
    /// It goes up.
    #[error("it goes up by `..`")]
    Up,
    /// It has a NUL, or an empty component.
    #[error("it has a NUL or an empty part")]
    Malformed,
    /// It is longer, or deeper, than Linux or this program allows.
    #[error("it is too long or too deep")]
    TooLong,
}

impl Name {
    /// Reads a name as tar writes it: with `./` before it, and `/` after that of a directory.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadName> {
        if bytes.first() == Some(&b'/') {
            return Err(BadName::Absolute);
        }
        if bytes.len() > MAX + 2 {
            return Err(BadName::TooLong);
        }
        let bytes = bytes.strip_suffix(b"/").unwrap_or(bytes);
        let bytes = if bytes == b"." { b"" } else { bytes.strip_prefix(b"./").unwrap_or(bytes) };
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        for part in bytes.split(|byte| *byte == b'/') {
            match part {
                b".." => return Err(BadName::Up),
                b"" | b"." => return Err(BadName::Malformed),
                part if part.contains(&0) => return Err(BadName::Malformed),
                part if part.len() > MAX_COMPONENT => return Err(BadName::TooLong),
                _ => {}
            }
        }
        let name = Self(bytes.to_vec());
        if name.0.len() > MAX || name.components().count() > MAX_DEPTH {
            Err(BadName::TooLong)
        } else {
            Ok(name)
        }
    }

    /// Returns its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns it as the system has it.
    pub fn as_os_str(&self) -> &OsStr {
        OsStr::from_bytes(&self.0)
    }

    /// Tells whether it is the top itself.
    pub const fn is_top(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns its components.
    pub fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|byte| *byte == b'/').filter(|part| !part.is_empty())
    }

    /// Returns its first component.
    pub fn first(&self) -> &[u8] {
        self.components().next().unwrap_or_default()
    }

    /// Returns the directory that it is in and its last component; `None` for the top.
    pub fn split(&self) -> Option<(Self, &OsStr)> {
        if self.is_top() {
            return None;
        }
        match self.0.iter().rposition(|byte| *byte == b'/') {
            None => Some((Self::default(), self.as_os_str())),
            Some(at) => {
                let (dir, last) = self.0.split_at(at);
                Some((Self(dir.to_vec()), OsStr::from_bytes(last.get(1..).unwrap_or_default())))
            }
        }
    }

    /// Returns the directory that it is in; `None` for the top.
    pub fn parent(&self) -> Option<Self> {
        self.split().map(|(parent, _)| parent)
    }

    /// Returns the name of something inside this directory.
    pub fn join(&self, below: &[u8]) -> Result<Self, BadName> {
        match (self.is_top(), below.is_empty()) {
            (true, _) => Self::parse(below),
            (false, true) => Ok(self.clone()),
            (false, false) => Self::parse(&[&self.0, b"/".as_slice(), below].concat()),
        }
    }

    /// Returns the name with another first component.
    pub fn with_first(&self, first: &OsStr) -> Result<Self, BadName> {
        let rest: Vec<&[u8]> = self.components().skip(1).collect();
        Self::parse(first.as_bytes())?.join(&rest.join(&b'/'))
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", String::from_utf8_lossy(&self.0).escape_debug())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_leaves_the_top_is_no_name() {
        for (text, why) in [
            (&b"/etc/passwd"[..], BadName::Absolute),
            (b"..", BadName::Up),
            (b"a/../../b", BadName::Up),
            (b"./../b", BadName::Up),
            (b"a//b", BadName::Malformed),
            (b"a/./b", BadName::Malformed),
            (b"a\0b", BadName::Malformed),
            (b"././a", BadName::Malformed),
            (&[b'x'; 256], BadName::TooLong),
            (&b"x/".repeat(1000), BadName::TooLong),
        ] {
            assert_eq!(Name::parse(text), Err(why), "{:?}", String::from_utf8_lossy(text));
        }
        for text in [&b"./"[..], b".", b""] {
            assert!(Name::parse(text).unwrap().is_top());
        }
        assert_eq!(Name::parse(b"./-rf/\xff\n/").unwrap().as_bytes(), b"-rf/\xff\n");
    }

    #[test]
    fn taken_apart_and_put_together() {
        let name = Name::parse(b"a/b/c").unwrap();
        let (dir, last) = name.split().unwrap();
        assert_eq!((dir.as_bytes(), last.as_bytes()), (&b"a/b"[..], &b"c"[..]));
        assert_eq!(name.with_first(OsStr::new("x")).unwrap().as_bytes(), b"x/b/c");
        assert_eq!(Name::default().join(b"a").unwrap().as_bytes(), b"a");
    }

    proptest! {
        #[test]
        fn a_name_never_leaves_the_top(bytes in proptest::collection::vec(prop_oneof![Just(b'/'), Just(b'.'), any::<u8>()], 0..20)) {
            if let Ok(name) = Name::parse(&bytes) {
                let depth = name.components().try_fold(0i32, |_, part| (part != b".." && part != b".").then_some(0));
                prop_assert!(depth.is_some() && !name.as_bytes().contains(&0) && !name.as_bytes().starts_with(b"/"));
                prop_assert_eq!(Name::parse(name.as_bytes()), Ok(name));
            }
        }
    }
}

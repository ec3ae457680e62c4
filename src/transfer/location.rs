//! Where something is copied from or to: `NAME:PATH` in a VM, a path here, or `-`. Pure.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use crate::transfer::error::TransferError;
use crate::vm::name::VmName;

/// One side of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// In a VM.
    Guest(VmName, Place),
    /// On this machine.
    Host(Place),
    /// A standard stream of this process.
    Stream,
}

/// What an argument names: one side of a copy, or the same place in each of many VMs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// One place.
    One(Location),
    /// A place in these VMs; in those that are chosen otherwise where there are none.
    Many(Vec<VmName>, Place),
}

/// A path, taken apart at its last component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The path without slashes at its end. One in a VM begins with `/` or `.`, so that no program takes it for an
    /// option.
    pub path: OsString,
    /// Whether it ended in `/`: it is to be a directory.
    pub slash: bool,
    /// The directory that it is in.
    pub parent: OsString,
    /// Its last component; none of `.`, `..` and `/`, which stand for what is inside them.
    pub last: Option<OsString>,
}

impl Argument {
    /// Reads an argument. What has a colon before its first slash is in a VM, in each of several with commas between
    /// them, or in each of those chosen otherwise if there is no name; `./a:b` is a file here.
    pub fn parse(arg: &OsStr) -> Result<Self, TransferError> {
        let bytes = arg.as_bytes();
        if bytes == b"-" {
            return Ok(Self::One(Location::Stream));
        }
        let colon = bytes.iter().position(|byte| *byte == b':' || *byte == b'/');
        match colon.filter(|at| bytes.get(*at) == Some(&b':')) {
            Some(at) => {
                let (names, path) = bytes.split_at(at);
                let place = Place::new(path.get(1..).unwrap_or_default(), true);
                let names = String::from_utf8_lossy(names);
                let names = names.split(',').filter(|_| at > 0).map(str::parse);
                let names: Vec<VmName> =
                    names.collect::<Result<_, _>>().map_err(|error| TransferError::Usage {
                        message: format!("`{}` is in no VM: {error}", arg.to_string_lossy().escape_debug()),
                        hint: format!(
                            "a file here whose name has a colon is `./{}`",
                            arg.to_string_lossy().escape_debug()
                        ),
                    })?;
                match names.as_slice() {
                    [name] => Ok(Self::One(Location::Guest(name.clone(), place))),
                    _ => Ok(Self::Many(names, place)),
                }
            }
            None if bytes.is_empty() => Err(TransferError::Usage {
                message: "an empty path names no file".to_owned(),
                hint: "the current directory is `.`, the home directory of a VM `NAME:`".to_owned(),
            }),
            None => Ok(Self::One(Location::Host(Place::new(bytes, false)))),
        }
    }

    /// Returns what it is for one of many VMs.
    pub fn of(&self, name: &VmName) -> Location {
        match self {
            Self::One(location) => location.clone(),
            Self::Many(_, place) => Location::Guest(name.clone(), place.clone()),
        }
    }
}

impl Location {
    /// Returns the directory of this name in it.
    #[must_use]
    pub fn inside(&self, name: &VmName) -> Self {
        let inside = |place: &Place, marked| {
            Place::new(&[place.path.as_bytes(), b"/", name.as_str().as_bytes(), b"/"].concat(), marked)
        };
        match self {
            Self::Guest(vm, place) => Self::Guest(vm.clone(), inside(place, true)),
            Self::Host(place) => Self::Host(inside(place, false)),
            Self::Stream => Self::Stream,
        }
    }
}

impl Place {
    fn new(bytes: &[u8], marked: bool) -> Self {
        let slash = bytes.len() > 1 && bytes.ends_with(b"/");
        let end = bytes.iter().rposition(|byte| *byte != b'/').map_or(0, |at| at + 1);
        let trimmed = match bytes.get(..end).unwrap_or_default() {
            b"" if bytes.is_empty() => b".",
            b"" => b"/",
            trimmed => trimmed,
        };
        let is_marked = !marked || trimmed.starts_with(b"/") || trimmed == b"." || trimmed.starts_with(b"./");
        let path = if is_marked { trimmed.to_vec() } else { [b"./", trimmed].concat() };
        let at = path.iter().rposition(|byte| *byte == b'/');
        let (parent, last) = match at {
            None => (&b"."[..], path.as_slice()),
            Some(0) => (&b"/"[..], path.get(1..).unwrap_or_default()),
            Some(at) => (path.get(..at).unwrap_or_default(), path.get(at + 1..).unwrap_or_default()),
        };
        let last = (!matches!(last, b"" | b"." | b"..")).then(|| OsString::from_vec(last.to_vec()));
        Self { slash, parent: OsString::from_vec(parent.to_vec()), last, path: OsString::from_vec(path) }
    }

    /// Returns it as a path of this machine.
    pub fn on_host(&self) -> PathBuf {
        PathBuf::from(&self.path)
    }

    /// Returns directory and name for the copy: of what stands for its inside, itself and `.`.
    pub fn source(&self) -> (&OsStr, &OsStr) {
        match &self.last {
            Some(last) => (&self.parent, last),
            None => (&self.path, OsStr::new(".")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Location {
        match Argument::parse(OsStr::new(text)).unwrap() {
            Argument::One(location) => location,
            Argument::Many(names, _) => panic!("{text} is in {names:?}"),
        }
    }

    #[test]
    fn places_in_many() {
        for (arg, names, path) in
            [(":a", &[][..], "./a"), ("a,b:", &["a", "b"], "."), ("b,a,b:/c/", &["b", "a", "b"], "/c")]
        {
            let Argument::Many(found, place) = Argument::parse(OsStr::new(arg)).unwrap() else {
                panic!("{arg} is in one place")
            };
            assert_eq!(found.iter().map(VmName::as_str).collect::<Vec<_>>(), names);
            assert_eq!(place.path, path);
        }
        let vm: VmName = "vm".parse().unwrap();
        assert_eq!(parse("logs").inside(&vm), parse("logs/vm/"));
        assert_eq!(parse("db:").inside(&vm), parse("db:./vm/"));
        assert_eq!(Argument::parse(OsStr::new("a,b:x")).unwrap().of(&vm), parse("vm:x"));
    }

    fn in_guest(text: &str) -> (String, String, Option<String>, bool) {
        let Location::Guest(_, place) = parse(text) else { panic!("{text} is in no VM") };
        let text = |text: &OsStr| text.to_str().unwrap().to_owned();
        (text(&place.path), text(&place.parent), place.last.as_deref().map(text), place.slash)
    }

    #[test]
    fn vm_paths() {
        for (arg, path, parent, last, slash) in [
            ("vm:", ".", ".", None, false),
            ("vm:a", "./a", ".", Some("a"), false),
            ("vm:a/", "./a", ".", Some("a"), true),
            ("vm:a/b:c", "./a/b:c", "./a", Some("b:c"), false),
            ("vm:/", "/", "/", None, false),
            ("vm:///", "/", "/", None, true),
            ("vm:/a", "/a", "/", Some("a"), false),
            ("vm:-rf", "./-rf", ".", Some("-rf"), false),
            ("vm:..", "./..", ".", None, false),
            ("vm:a/.", "./a/.", "./a", None, false),
            ("vm:~/x", "./~/x", "./~", Some("x"), false),
        ] {
            let expected = (path.to_owned(), parent.to_owned(), last.map(str::to_owned), slash);
            assert_eq!(in_guest(arg), expected, "{arg}");
        }
    }

    #[test]
    fn host_paths() {
        for arg in ["a", "./a:b", "/a:b", "dir/a:b", "./:a", "-rf", "a,b"] {
            assert!(matches!(parse(arg), Location::Host(_)), "{arg}");
        }
        assert_eq!(parse("-"), Location::Stream);
        for arg in ["a b:c", "", "-x:y", "a\u{1b}:y", ",:x", "a,:x", ",a:x"] {
            assert!(Argument::parse(OsStr::new(arg)).is_err(), "{arg}");
        }
    }

    proptest! {
        #[test]
        fn parts_make_the_whole(bytes in proptest::collection::vec(1u8.., 0..20)) {
            let place = Place::new(&bytes, true);
            let path = place.path.as_bytes();
            prop_assert!(path.starts_with(b"/") || path.starts_with(b"."));
            if let Some(last) = &place.last {
                prop_assert!(path.ends_with(last.as_bytes()) && !last.as_bytes().contains(&b'/'));
                prop_assert!(path.starts_with(place.parent.as_bytes()));
            }
        }
    }
}

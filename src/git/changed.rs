//! Which files a guest's work changes, for programs. Nothing in it is filtered.

use serde::Serialize;

use crate::git::fields::Fields;
use crate::git::report::change;
use crate::git::risk;

/// How many files are told.
const MAX_FILES: usize = 10_000;

/// How long their paths may be together, in bytes.
const MAX_PATHS: usize = 16 << 20;

/// What a difference comes to. Keys are only ever added.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// The files, in the order of their names as git has it.
    pub files: Vec<File>,
    /// How many more there are, which are in the sums.
    pub more_files: u64,
    /// How many lines came.
    pub added: u64,
    /// How many lines went.
    pub deleted: u64,
}

/// A file. One with another name is one that was removed and one that was added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct File {
    /// Its path; bytes that are not UTF-8 are replaced.
    pub path: String,
    /// `added`, `changed` or `removed`.
    pub change: &'static str,
    /// How many lines came; `null` where it has no lines.
    pub added: Option<u64>,
    /// How many lines went.
    pub deleted: Option<u64>,
    /// Why it deserves a look, where it does.
    pub why: Option<&'static str>,
}

/// Reads what `git diff --raw --numstat -z --no-renames` says, however long that is: first `:MODE MODE OID OID STATUS NUL PATH
/// NUL` for each file, then `ADDED TAB DELETED TAB PATH NUL` (`git help diff`).
#[derive(Default)]
pub struct Reader {
    fields: Fields,
    about: Option<String>,
    changed: Changed,
    /// How long the paths are that were told.
    paths: usize,
    /// Which file's lines come next.
    next: usize,
}

impl Reader {
    /// Takes what came.
    pub fn take(&mut self, bytes: &[u8]) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.take(bytes, |field| match self.about.take() {
            Some(about) => self.file(&about, field),
            None if field.starts_with(b":") => {
                self.about = Some(String::from_utf8_lossy(field).into_owned());
            }
            None => self.lines(field),
        });
        self.fields = fields;
    }

    /// Returns what was read.
    pub fn done(self) -> Changed {
        self.changed
    }

    fn file(&mut self, about: &str, path: &[u8]) {
        let Changed { files, more_files, .. } = &mut self.changed;
        // From the first that has no room on, so that those that are told are the first.
        if *more_files > 0 || files.len() == MAX_FILES || self.paths + path.len() > MAX_PATHS {
            *more_files += 1;
            return;
        }
        self.paths += path.len();
        let (mode, change) = change(about);
        let (path, why) = (String::from_utf8_lossy(path).into_owned(), risk::of(path, mode));
        files.push(File { path, change, added: None, deleted: None, why });
    }

    /// They come in the order of the files.
    fn lines(&mut self, field: &[u8]) {
        let mut parts = field.splitn(3, |byte| *byte == b'\t');
        let mut number = || std::str::from_utf8(parts.next()?).ok()?.parse::<u64>().ok();
        let (added, deleted) = (number(), number());
        let changed = &mut self.changed;
        changed.added = changed.added.saturating_add(added.unwrap_or(0));
        changed.deleted = changed.deleted.saturating_add(deleted.unwrap_or(0));
        if let Some(file) = changed.files.get_mut(self.next) {
            (file.added, file.deleted) = (added, deleted);
        }
        self.next += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_many_the_first_are_told() {
        let mut reader = Reader::default();
        let long = vec![b'p'; 32 * 1024];
        for _ in 0..600 {
            reader.take(&[b":000000 100644 0 1 A\0".as_slice(), &long, b"\0"].concat());
        }
        for _ in 0..600 {
            reader.take(&[b"2\t0\t".as_slice(), &long, b"\0"].concat());
        }
        let changed = reader.done();
        assert_eq!((changed.files.len(), changed.more_files, changed.added), (512, 88, 1200));
    }

    #[test]
    fn files_and_their_lines_in_whatever_pieces_they_come() {
        let said =
            b":100644 100644 1 2 M\0a\tb\n\0:000000 100755 0 1 A\0Makefile\0:100644 000000 1 0 D\0\xff\0\
                     3\t1\ta\tb\n\x007\t0\tMakefile\0-\t-\t\xff\0";
        for size in 1..=said.len() {
            let mut reader = Reader::default();
            said.chunks(size).for_each(|chunk| reader.take(chunk));
            let changed = reader.done();
            let told: Vec<_> = changed
                .files
                .iter()
                .map(|file| (file.path.as_str(), file.change, file.added, file.deleted, file.why.is_some()))
                .collect();
            assert_eq!(
                told,
                [
                    ("a\tb\n", "changed", Some(3), Some(1), false),
                    ("Makefile", "added", Some(7), Some(0), true),
                    ("\u{fffd}", "removed", None, None, false),
                ],
                "{size}"
            );
            assert_eq!((changed.more_files, changed.added, changed.deleted), (0, 10, 1));
        }
    }
}

//! One line at the top of a file that belongs to the user, such as `~/.ssh/config`: put there and taken away again.
//! Everything else in the file, its mode, and a link that leads to it stay as they are.

use std::fs::{DirBuilder, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::host::files::{self, FileError, failed};

/// The largest configuration that is read, in bytes.
const MAX_BYTES: u64 = 16 << 20;

/// The mode of a file that was not there before.
const MODE: u32 = 0o600;

/// Puts a line at the top of the file, unless it applies already. A file that is missing is made, and its directory too.
/// Tells whether anything was changed.
pub fn insert(path: &Path, line: &str) -> Result<bool, FileError> {
    change(path, |before| with(before, line))
}

/// Takes the line away. Tells whether it was there.
pub fn remove(path: &Path, line: &str) -> Result<bool, FileError> {
    change(path, |before| without(before, line))
}

/// Returns the text with the line at its top; `None` when the line stands already where it applies to every host.
fn with(text: &[u8], line: &str) -> Option<Vec<u8>> {
    let applies = lines(text).take_while(|one| !begins_block(one)).any(|one| is(one, line));
    (!applies).then(|| [line.as_bytes(), b"\n", text].concat())
}

/// Returns the text without the first such line; `None` when there is none.
fn without(text: &[u8], line: &str) -> Option<Vec<u8>> {
    let mut at = 0;
    for one in lines(text) {
        let (before, rest) = text.split_at_checked(at)?;
        if is(one, line) {
            return Some([before, rest.get(one.len()..)?].concat());
        }
        at += one.len();
    }
    None
}

/// Returns the lines with their ends.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|byte| *byte == b'\n')
}

fn is(one: &[u8], line: &str) -> bool {
    one.trim_ascii() == line.as_bytes()
}

/// Tells whether what follows a line holds for some hosts only.
fn begins_block(line: &[u8]) -> bool {
    let line = line.trim_ascii_start();
    let end = line.iter().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(line.len());
    let word = line.get(..end).unwrap_or_default();
    word.eq_ignore_ascii_case(b"host") || word.eq_ignore_ascii_case(b"match")
}

fn change(path: &Path, change: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Result<bool, FileError> {
    let found = match std::fs::canonicalize(path) {
        Ok(target) => Some(target),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => None,
        Err(error) => return Err(failed("find", path)(error)),
    };
    let (before, mode) = match &found {
        None => (Vec::new(), MODE),
        Some(target) => {
            let mode = std::fs::metadata(target).map_err(failed("inspect", target))?.permissions().mode();
            (files::read_bounded(target, MAX_BYTES)?, mode & 0o7777)
        }
    };
    let Some(after) = change(&before) else { return Ok(false) };
    if found.is_none()
        && let Some(dir) = path.parent()
    {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed("create", dir))?;
    }
    replace(found.as_deref().unwrap_or(path), &after, mode)?;
    Ok(true)
}

/// Replaces a file: the old content is there until the new one is on the disk, complete.
fn replace(path: &Path, content: &[u8], mode: u32) -> Result<(), FileError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".ai-vm-{}", std::process::id()));
    let beside = PathBuf::from(beside);
    // Only a dead process can have left a file of that name.
    files::remove_if_there(&beside)?;
    let written = files::create_private(&beside).and_then(|mut file| {
        let put = file.set_permissions(Permissions::from_mode(mode)).and_then(|()| file.write_all(content));
        put.and_then(|()| file.sync_all())
            .and_then(|()| std::fs::rename(&beside, path))
            .map_err(failed("write", path))
    });
    if written.is_err() {
        // The reason that matters is the first one.
        let _ = files::remove_if_there(&beside);
    }
    written?;
    path.parent().map_or(Ok(()), files::sync_dir)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LINE: &str = "Include \"/data/vms/*/ssh_config\"";

    fn config() -> impl Strategy<Value = Vec<u8>> {
        let line = prop_oneof![
            Just(LINE.as_bytes().to_vec()),
            Just(format!("  {LINE}\r").into_bytes()),
            Just(b"Host *".to_vec()),
            Just(b"  match all".to_vec()),
            Just(b"HostName x".to_vec()),
            Just(b"Include other".to_vec()),
            proptest::collection::vec(any::<u8>(), 0..12),
        ];
        (proptest::collection::vec(line, 0..8), any::<bool>()).prop_map(|(lines, end)| {
            let mut text = lines.join(&b'\n');
            text.extend(end.then_some(b'\n'));
            text
        })
    }

    proptest! {
        #[test]
        fn once_is_enough_and_what_was_there_comes_back(text in config()) {
            match with(&text, LINE) {
                None => prop_assert!(without(&text, LINE).is_some()),
                Some(more) => {
                    prop_assert!(more.starts_with(LINE.as_bytes()) && more.ends_with(&text));
                    prop_assert_eq!(with(&more, LINE), None);
                    prop_assert_eq!(without(&more, LINE), Some(text));
                }
            }
        }

        #[test]
        fn only_the_line_is_taken_away(text in config()) {
            if let Some(less) = without(&text, LINE) {
                let left: Vec<&[u8]> = lines(&less).collect();
                let mut all: Vec<&[u8]> = lines(&text).collect();
                let at = all.iter().position(|one| is(one, LINE)).unwrap();
                all.remove(at);
                prop_assert_eq!(left.concat(), all.concat());
            } else {
                prop_assert!(!lines(&text).any(|one| is(one, LINE)));
            }
        }
    }

    #[test]
    fn a_line_in_a_block_does_not_apply() {
        for (text, applies) in [
            (format!("# mine\n{LINE}\nHost *\n"), true),
            (format!("HostKeyAlias x\n{LINE}"), true),
            (format!("Host *\n{LINE}\n"), false),
            (format!("match=all\n{LINE}\n"), false),
            (format!("#{LINE}\n"), false),
        ] {
            assert_eq!(with(text.as_bytes(), LINE).is_none(), applies, "{text}");
        }
    }

    #[test]
    fn links_and_modes_stay() {
        let dir = tempfile::tempdir().unwrap();
        let (target, link) = (dir.path().join("dotfile"), dir.path().join("config"));
        std::fs::write(&target, "Host a\n").unwrap();
        std::fs::set_permissions(&target, Permissions::from_mode(0o644)).unwrap();
        std::os::unix::fs::symlink("dotfile", &link).unwrap();
        assert!(insert(&link, LINE).unwrap() && !insert(&link, LINE).unwrap());
        assert!(link.is_symlink());
        assert_eq!(std::fs::read_to_string(&target).unwrap(), format!("{LINE}\nHost a\n"));
        assert_eq!(std::fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o644);
        assert!(remove(&link, LINE).unwrap() && !remove(&link, LINE).unwrap());
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "Host a\n");
        std::fs::remove_file(&target).unwrap();
        assert!(insert(&link, LINE).is_err(), "a link that leads nowhere");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_missing_is_made_private() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(".ssh/config");
        assert!(!remove(&file, LINE).unwrap() && !file.exists());
        assert!(insert(&file, LINE).unwrap());
        for (path, mode) in [(file.as_path(), 0o600), (file.parent().unwrap(), 0o700)] {
            assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, mode, "{path:?}");
        }
    }

    #[test]
    fn what_cannot_be_written_loses_nothing() {
        let dir = tempfile::tempdir().unwrap();
        // So long a name that no other file can be made beside it.
        let path = dir.path().join("x".repeat(255));
        std::fs::write(&path, "Host a\n").unwrap();
        assert!(insert(&path, LINE).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "Host a\n");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}

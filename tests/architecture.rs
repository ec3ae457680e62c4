//! The shape of the source: rooms import only rooms below them, files stay small, and a few powers belong to one
//! room each.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

/// The rooms from the ground up. A room may import those before it.
const ROOMS: [&str; 17] = [
    "diagnostic",
    "vm",
    "host",
    "registry",
    "qemu",
    "ssh",
    "guest",
    "lifecycle",
    "transfer",
    "git",
    "project",
    "claude",
    "agents",
    "fleet",
    "doctor",
    "ui",
    "cli",
];

/// Rooms that lie side by side: neither imports the other.
const APART: [(&str, &str); 9] = [
    ("qemu", "ssh"),
    ("lifecycle", "ui"),
    ("transfer", "ui"),
    ("git", "ui"),
    ("project", "ui"),
    ("claude", "ui"),
    ("agents", "ui"),
    ("fleet", "ui"),
    ("doctor", "ui"),
];

/// Texts that only one place may hold.
const POWERS: [(&str, &[&str]); 5] = [
    ("russh", &["ssh"]),
    (".spawn()", &["host"]),
    ("unsafe_code", &["host"]),
    ("io::stdout()", &["ui", "cli", "ssh"]),
    ("io::stderr()", &["ui", "cli", "ssh"]),
];

struct Source {
    path: PathBuf,
    room: String,
    text: String,
}

fn sources(dir: &Path, found: &mut Vec<Source>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let below = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            let room = below.split(['/', '.']).next().unwrap().to_owned();
            found.push(Source { text: std::fs::read_to_string(&path).unwrap(), path, room });
        }
    }
}

fn all() -> Vec<Source> {
    let mut found = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert!(found.len() > 30, "only {} files were found", found.len());
    found
}

#[test]
fn rooms_import_only_rooms_below() {
    let height = |room: &str| ROOMS.iter().position(|known| *known == room);
    for source in all().iter().filter(|source| !["lib", "main"].contains(&source.room.as_str())) {
        let own = height(&source.room).unwrap_or_else(|| panic!("{:?} is in no known room", source.path));
        for line in source.text.lines() {
            let Some(rest) = line.split("crate::").nth(1) else { continue };
            let other = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap();
            let Some(theirs) = height(other) else { continue };
            let apart = APART.iter().any(|(a, b)| {
                (source.room == *a && other == *b)
                    || (source.room == *b && other == *a && source.room != "ui")
            });
            assert!(theirs <= own && !apart, "{:?} imports {other}: {line}", source.path);
        }
    }
}

#[test]
fn files_are_small_and_say_what_they_are() {
    for source in all() {
        let lines = source.text.lines().count();
        assert!(lines <= 400, "{:?} has {lines} lines", source.path);
        assert!(source.text.starts_with("//! "), "{:?} does not start with what it is", source.path);
    }
}

#[test]
fn powers_stay_in_their_rooms() {
    for source in all() {
        let code = source.text.split("#[cfg(test)]").next().unwrap();
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for (text, rooms) in POWERS {
                let allowed = rooms.contains(&source.room.as_str());
                assert!(allowed || !line.contains(text), "{:?} may not use {text}: {line}", source.path);
            }
        }
    }
}

//! A line for each login that goes from one place to another: written before it does, and again when it has, so that no crash
//! hides it. One that was begun, and of which nothing more is said, may have gone or not.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use crate::claude::credentials::Millis;
use crate::host::files::{FileError, failed};
use crate::host::layout::{Claude, Layout};
use crate::vm::name::VmName;

/// How large the file may become before it is put aside, in bytes: some ten thousand lines. One that was put aside before
/// goes.
const MAX: u64 = 1 << 20;

/// The way of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way<'a> {
    /// From this machine's own Claude Code into the store.
    FromHost,
    /// From the store to this machine's own Claude Code.
    ToHost,
    /// From a VM into the store.
    In(&'a VmName),
    /// From the store into a VM.
    Out(&'a VmName),
    /// A token, into a VM.
    Token(&'a VmName),
    /// Out of a VM for good.
    Wiped(&'a VmName),
    /// Out of the store for good.
    Forgotten,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It is about to go.
    Begun,
    /// It has gone.
    Done,
    /// It did not go: something else was there than expected, or it was there already.
    NotDone,
    /// It is not let through.
    Refused,
}

impl fmt::Display for Way<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FromHost => f.write_str("- host->kept"),
            Self::ToHost => f.write_str("- kept->host"),
            Self::In(name) => write!(f, "{name} guest->kept"),
            Self::Out(name) => write!(f, "{name} kept->guest"),
            Self::Token(name) => write!(f, "{name} token->guest"),
            Self::Wiped(name) => write!(f, "{name} guest->nowhere"),
            Self::Forgotten => f.write_str("- kept->nowhere"),
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Begun => "begun",
            Self::Done => "done",
            Self::NotDone => "not-done",
            Self::Refused => "refused",
        })
    }
}

/// Writes a line. `_held` is the lock of the store, so that only one puts the file aside. `fingerprint` tells the login from
/// others, and `-` stands for whichever there is.
pub fn write(
    layout: &Layout,
    _held: &File,
    way: Way<'_>,
    fingerprint: &str,
    stage: Stage,
) -> Result<(), FileError> {
    let path = layout.claude(Claude::AUDIT);
    if path.metadata().is_ok_and(|found| found.len() >= MAX) {
        std::fs::rename(&path, layout.claude(Claude::AUDIT_BEFORE)).map_err(failed("rename", &path))?;
    }
    let line = format!("{} {way} {fingerprint} {stage}\n", Millis::now());
    let write = || {
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
        file.write_all(line.as_bytes())?;
        // Before the login goes, also if this machine loses its power.
        if stage == Stage::Begun { file.sync_data() } else { Ok(()) }
    };
    write().map_err(failed("write", &path))
}

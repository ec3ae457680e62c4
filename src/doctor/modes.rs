//! Whether only the user can read what ai-vm keeps: directories 0700, files 0600.

use std::fs::{self, Metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::doctor::finding::{Finding, quoted};
use crate::host::files::{FileError, failed};
use crate::host::layout::{Claude, Identity, Layout, VmDir};
use crate::lifecycle::Engine;

const SUBJECT: &str = "file modes";

/// What others may do with a file.
const OTHERS: u32 = 0o077;

/// How deep the data directory is looked through: as deep as `vms/NAME/identity/FILE`.
const DEPTH: usize = 4;

/// Looks at the data directory, and at two files of the user's, which are told of and left alone.
pub fn check(engine: &Engine) -> Vec<Finding> {
    let layout = engine.registry.layout();
    let mut open = Vec::new();
    look(layout, layout.root(), DEPTH, &mut open);
    let (secret, other): (Vec<PathBuf>, Vec<PathBuf>) =
        open.into_iter().partition(|path| is_secret(layout, path));
    let mut findings = Vec::new();
    findings.extend(ours(&secret).map(|detail| {
        let meaning = "others may have read them, and OpenSSH refuses such a key";
        Finding::error(SUBJECT, detail, meaning).ours(move || Ok(all(&secret)?))
    }));
    findings.extend(ours(&other).map(|detail| {
        let meaning = "others may see which VMs there are, and what they write";
        Finding::warning(SUBJECT, detail, meaning).ours(move || Ok(all(&other)?))
    }));
    findings.extend(engine.claude.as_ref().and_then(|claude| {
        theirs(&claude.credentials(), OTHERS, "600", "others can read your login of Claude Code")
    }));
    let anybody = "others decide with what VMs are made";
    findings.extend(theirs(&engine.config, 0o022, "go-w", anybody));
    if findings.is_empty() {
        findings.push(Finding::ok(SUBJECT, "only you can read what is kept"));
    }
    findings
}

/// Collects what others can do something with. What lies in an image or a flake is looked at as a whole: nobody can reach
/// it who cannot enter its directory.
fn look(layout: &Layout, path: &Path, depth: usize, open: &mut Vec<PathBuf>) {
    let Some(found) = ours_at(path) else { return };
    if found.mode() & OTHERS != 0 && !found.is_symlink() {
        open.push(path.to_owned());
    }
    let is_whole = path.parent() == Some(&layout.images()) || *path == layout.staging();
    if found.is_dir() && depth > 0 && !is_whole {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            look(layout, &entry.path(), depth - 1, open);
        }
    }
}

/// Looks at a file of this user's own, and never through a link.
fn ours_at(path: &Path) -> Option<Metadata> {
    let us = rustix::process::geteuid().as_raw();
    fs::symlink_metadata(path).ok().filter(|found| found.uid() == us)
}

fn is_secret(layout: &Layout, path: &Path) -> bool {
    let keys = [Identity::LOGIN_KEY, Identity::HOST_KEY, VmDir::CLAUDE_TOKEN];
    let logins = [layout.claude(Claude::LOGIN), layout.claude(Claude::TOKEN)];
    keys.iter().any(|key| path.ends_with(key)) || logins.iter().any(|login| path == login)
}

fn ours(open: &[PathBuf]) -> Option<String> {
    let first = open.first()?;
    let mode = ours_at(first)?.mode() & 0o777;
    let more = if open.len() > 1 { format!(", and {} more", open.len() - 1) } else { String::new() };
    Some(format!("`{}` is open to others (mode {mode:03o}){more}", first.display()))
}

fn all(open: &[PathBuf]) -> Result<(), FileError> {
    open.iter().try_for_each(|path| make_private(path))
}

/// Takes away what others may do. The parent comes first, so that nobody can put something else in a file's place.
pub fn make_private(path: &Path) -> Result<(), FileError> {
    let Some(found) = ours_at(path).filter(|found| !found.is_symlink()) else { return Ok(()) };
    let mode = found.mode() & 0o7777 & !OTHERS;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed("change the mode of", path))
}

/// Looks at a file that is not ai-vm's.
fn theirs(path: &Path, forbidden: u32, mode: &str, meaning: &str) -> Option<Finding> {
    let found = fs::metadata(path).ok().filter(|found| found.mode() & forbidden != 0)?;
    let detail = format!("`{}` is open to others (mode {:03o})", path.display(), found.mode() & 0o777);
    let quoted = quoted(path);
    Some(Finding::warning(SUBJECT, detail, meaning).hint(format!("`chmod {mode} {quoted}`")))
}

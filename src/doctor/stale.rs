//! What was left behind by processes that were killed: of no use to anybody, and ai-vm's own.

use std::path::{Path, PathBuf};

use crate::diagnostic::Diagnostic;
use crate::doctor::finding::Finding;
use crate::host::files;
use crate::host::layout::{Layout, VmDir};
use crate::host::lock::{self, LockError};
use crate::host::staging::{self, Staging};
use crate::lifecycle::Engine;
use crate::ssh::mux::wire;

const SUBJECT: &str = "stale state";

/// Looks for what is half-made and has no owner, what QEMUs that are gone have left, and what belonged to other versions.
pub fn check(engine: &Engine) -> Vec<Finding> {
    let layout = engine.registry.layout();
    let mut findings = Vec::from_iter(staging(layout));
    for name in engine.registry.names().unwrap_or_default() {
        findings.extend(runtime(&engine.registry.dir(&name), name.as_str()));
        findings.extend(rotation(&engine.registry.dir(&name), name.as_str()));
    }
    findings.extend(holders(layout));
    if findings.is_empty() {
        findings.push(Finding::ok(SUBJECT, "none"));
    }
    findings
}

fn staging(layout: &Layout) -> Option<Finding> {
    let count = staging::left_over(layout).ok().filter(|count| *count > 0)?;
    let detail = format!("{count} half-made or half-removed in `{}`", layout.staging().display());
    let layout = layout.clone();
    // Whoever enters alone sweeps.
    let mend = move || Staging::enter(&layout).map(drop).map_err(Into::into);
    Some(Finding::warning(SUBJECT, detail, "they take room on the disk").ours(mend))
}

/// What QEMU needs while it runs, and a launch until QEMU has read it.
fn runtime(dir: &VmDir, name: &str) -> Option<Finding> {
    let left = [VmDir::QMP_SOCKET, VmDir::CREDENTIALS];
    let is_left = |file: &&str| std::fs::symlink_metadata(dir.file(file)).is_ok();
    let left: Vec<&str> = left.into_iter().filter(is_left).collect();
    let run_lock = dir.file(VmDir::RUN_LOCK);
    if left.is_empty() || lock::is_held(&run_lock).unwrap_or(true) {
        return None;
    }
    let detail = format!("`{name}` has {} of a QEMU that is gone", left.join(" and "));
    let meaning = if left.contains(&VmDir::CREDENTIALS) {
        "there is one more copy of its keys than need be"
    } else {
        "nobody answers there any more"
    };
    let dir = dir.clone();
    let mend = move || -> Result<(), Box<dyn Diagnostic>> {
        // A launch that has begun since needs them.
        if let Some(_stopped) = lock::try_exclusive(&run_lock)? {
            files::remove_if_there(&dir.file(VmDir::QMP_SOCKET))?;
            files::remove_tree_if_there(&dir.file(VmDir::CREDENTIALS))?;
        }
        Ok(())
    };
    Some(Finding::warning(SUBJECT, detail, meaning).ours(mend))
}

/// A change of keys that was broken off: old and new ones may both open the guest. It needs the guest to be finished.
fn rotation(dir: &VmDir, name: &str) -> Option<Finding> {
    let is_there = dir.file(VmDir::ROTATION).exists();
    if !is_there || lock::is_held(&dir.file(VmDir::KEYS_LOCK)).unwrap_or(true) {
        return None;
    }
    let detail = format!("a change of the keys of `{name}` was broken off");
    let finding = Finding::warning(SUBJECT, detail, "keys that should no longer open the VM may still do");
    Some(finding.hint(format!("`ai-vm ssh-keys rotate {name}`")))
}

/// Sockets and locks of processes that kept connections for another version, or were killed.
fn holders(layout: &Layout) -> Option<Finding> {
    let left = left_by_holders(layout);
    if left.is_empty() {
        return None;
    }
    let detail = format!("{} files of earlier versions' connections", left.len());
    let mend = move || {
        let remove = |lock_file: &PathBuf| -> Result<(), LockError> {
            if let Some(_unused) = lock::try_exclusive(lock_file)? {
                files::remove_if_there(&lock_file.with_extension("sock"))?;
                files::remove_if_there(lock_file)?;
            }
            Ok(())
        };
        left.iter()
            .map(|file| file.with_extension("lock"))
            .try_for_each(|file| remove(&file))
            .map_err(Into::into)
    };
    Some(Finding::warning(SUBJECT, detail, "nobody answers there any more").ours(mend))
}

fn left_by_holders(layout: &Layout) -> Vec<PathBuf> {
    let ours = layout.holder_lock(wire::VERSION);
    let is_left = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_lock = path.extension().is_some_and(|end| end == "lock");
        let is_socket = path.extension().is_some_and(|end| end == "sock");
        name.starts_with("connections-")
            && (is_lock || is_socket)
            && path.with_extension("lock") != ours
            && !lock::is_held(&path.with_extension("lock")).unwrap_or(true)
    };
    entries(layout.root()).filter(is_left).collect()
}

fn entries(dir: &Path) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path())
}

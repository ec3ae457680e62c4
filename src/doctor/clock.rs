//! Whether this machine's clock can be right.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::doctor::finding::{Finding, quoted};
use crate::host::layout::VmDir;
use crate::host::program;
use crate::lifecycle::Engine;

const SUBJECT: &str = "clock";
const MEANING: &str = "certificates are not valid yet, and logins seem to last longer than they do";

/// When this check was written: 2026-11-26, in seconds since 1970. No right clock is before that.
const WRITTEN: u64 = 1_795_651_200;

/// How far clocks of file systems may be apart.
const TOLERANCE: Duration = Duration::from_secs(120);

/// Compares the clock with when this program was written, and with the newest that the data directory has.
pub fn check(engine: &Engine) -> Vec<Finding> {
    let now = SystemTime::now();
    if now < UNIX_EPOCH + Duration::from_secs(WRITTEN) {
        let detail = "it is before the time at which this program was written";
        return vec![set(Finding::error(SUBJECT, detail, MEANING))];
    }
    let newest = candidates(engine).into_iter().filter_map(|path| {
        let changed = fs::symlink_metadata(&path).and_then(|found| found.modified()).ok()?;
        Some((changed, path))
    });
    vec![match newest.max() {
        Some((changed, path)) if changed > now + TOLERANCE => {
            let (when, path) = (humantime::format_rfc3339_seconds(changed), quoted(&path));
            let detail = format!("{path} was written at {when}, which is still to come");
            let finding = Finding::warning(SUBJECT, detail, MEANING);
            let hint = format!("`sudo timedatectl set-ntp true`; or, if it was ahead then: `touch {path}`");
            set(finding.hint(hint))
        }
        _ => Finding::ok(SUBJECT, humantime::format_rfc3339_seconds(now).to_string()),
    }]
}

/// Adds how a clock is set.
fn set(finding: Finding) -> Finding {
    match program::find("timedatectl", "systemd") {
        Ok(_) => finding.root(&["timedatectl", "set-ntp", "true"]),
        Err(_) => finding.hint("`sudo date --set 'YYYY-MM-DD hh:mm'`"),
    }
}

/// What is written whenever something is done with a VM: the directories, whose times are those of the last change in
/// them, and what a launch writes.
fn candidates(engine: &Engine) -> Vec<PathBuf> {
    let layout = engine.registry.layout();
    let mut paths =
        vec![layout.root().to_owned(), layout.vms(), layout.images(), layout.accelerator_verdict()];
    for name in engine.registry.names().unwrap_or_default() {
        let dir = engine.registry.dir(&name);
        paths.extend([VmDir::RECORD, VmDir::RUN, VmDir::READY, VmDir::DISK].map(|file| dir.file(file)));
        paths.push(dir.path().to_owned());
    }
    paths
}

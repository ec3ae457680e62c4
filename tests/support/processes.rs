//! What a home has running and lying about, as the kernel sees it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::home::Home;

/// Every process there is.
pub fn all() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The QEMU processes of a home with the VM directories that they work in.
pub fn running(home: &Home) -> Vec<(u32, PathBuf)> {
    all()
        .filter_map(|pid| {
            let program = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
            let dir = std::fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
            let is_qemu = program.file_name()?.to_str()?.starts_with("qemu-system");
            (is_qemu && dir.starts_with(home.dir())).then_some((pid, dir))
        })
        .collect()
}

/// Sends a signal.
pub fn signal(pid: u32, name: &str) {
    assert!(Command::new("kill").args(["-s", name, &pid.to_string()]).status().unwrap().success());
}

/// Every file and directory below a path, with its permission bits.
pub fn modes(path: &Path) -> Vec<(PathBuf, u32)> {
    use std::os::unix::fs::PermissionsExt;
    let Ok(found) = std::fs::symlink_metadata(path) else { return Vec::new() };
    let mut all = vec![(path.to_owned(), found.permissions().mode() & 0o777)];
    if found.is_dir() {
        for entry in std::fs::read_dir(path).unwrap().flatten() {
            all.extend(modes(&entry.path()));
        }
    }
    all
}

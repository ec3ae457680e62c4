//! Programs that are run.

use crate::doctor::finding::Finding;
use crate::host::program;
use crate::lifecycle::Engine;

/// Programs, the Debian packages that bring them, and what will not work without.
const PROGRAMS: [(&str, &str, &str); 7] = [
    ("qemu-img", "qemu-utils", "no VM's disk can be made"),
    ("mmdebstrap", "mmdebstrap", "the Debian image cannot be made"),
    ("mke2fs", "e2fsprogs", "the Debian image cannot be made"),
    ("tar", "tar", "the Debian image cannot be made"),
    ("bash", "bash", "the Debian image cannot be made"),
    ("curl", "curl", "no image can be downloaded"),
    ("git", "git", "`push`, `fetch` and `diff` do not work"),
];

/// Looks for each of them.
pub fn check(_: &Engine) -> Vec<Finding> {
    PROGRAMS.into_iter().map(|(name, package, meaning)| tool(name, package, meaning)).collect()
}

/// Looks for a program that `package` would bring on Debian and Ubuntu.
pub fn tool(name: &'static str, package: &'static str, meaning: &str) -> Finding {
    match program::find(name, package) {
        Ok(path) => Finding::ok(name, path.display().to_string()),
        Err(error) => {
            Finding::of(name, &error, meaning).root(&["apt-get", "install", "--yes", "--quiet", package])
        }
    }
}

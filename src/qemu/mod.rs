//! QEMU: its command line, its disks, its control socket, and by what means it can run a guest here.

pub mod accel;
pub mod args;
pub mod disk;
pub mod hostfwd;
pub mod launch;
pub mod qmp;
pub mod screen;
pub mod share;
pub mod sound;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::host::process;
use crate::host::program::{self, ProcessError};

/// Finds the QEMU to run: the one that the user names, else the one on `PATH`.
pub fn binary(named: Option<&PathBuf>) -> Result<PathBuf, ProcessError> {
    match named {
        Some(path) => Ok(path.clone()),
        None => program::find("qemu-system-x86_64", "qemu-system-x86"),
    }
}

/// Returns the version that a QEMU says it is, such as `7.2.22`.
pub fn version(qemu: &Path) -> Result<String, ProcessError> {
    let said = process::output(Command::new(qemu).arg("--version"), Duration::from_secs(10))?;
    // QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)
    let said = String::from_utf8_lossy(&said).into_owned();
    Ok(said.split_whitespace().nth(3).unwrap_or("of unknown version").to_owned())
}

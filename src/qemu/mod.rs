//! QEMU: its command line, its disks, its control socket, and by what means it can run a guest here.

pub mod accel;
pub mod args;
pub mod disk;
pub mod launch;
pub mod qmp;

use std::path::PathBuf;

use crate::host::program::{self, ProcessError};

/// Finds the QEMU to run: the one that the user names, else the one on `PATH`.
pub fn binary(named: Option<&PathBuf>) -> Result<PathBuf, ProcessError> {
    match named {
        Some(path) => Ok(path.clone()),
        None => program::find("qemu-system-x86_64", "qemu-system-x86"),
    }
}

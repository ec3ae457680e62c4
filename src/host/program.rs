//! Other programs: where they are, and how they fail.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use crate::diagnostic::{Diagnostic, Kind};

/// Where programs are looked for besides `PATH`, which for ordinary users often lacks them.
const SYSTEM_DIRS: [&str; 2] = ["/usr/sbin", "/sbin"];

/// Why a program did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It is not there.
    #[error("`{program}` is not installed")]
    NotInstalled {
        /// Its name.
        program: String,
        /// The Debian package that brings it.
        package: &'static str,
    },
    /// It could not be started or observed.
    #[error("cannot run `{program}`")]
    Run {
        /// Its name.
        program: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// It ended with an error.
    #[error("`{program}` failed ({status}){}", after_colon(said))]
    Failed {
        /// Its name.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it said.
        said: String,
    },
    /// It did not end in time and was killed.
    #[error("`{program}` did not end within {} s{}", limit.as_secs(), after_colon(said))]
    Timeout {
        /// Its name.
        program: String,
        /// The time it had.
        limit: Duration,
        /// The end of what it said.
        said: String,
    },
}

fn after_colon(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

impl Diagnostic for ProcessError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotInstalled { .. } => Kind::NotFound,
            Self::Timeout { .. } => Kind::Timeout,
            Self::Run { .. } | Self::Failed { .. } => Kind::Failed,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NotInstalled { package, .. } => {
                vec![format!("on Debian and Ubuntu: `sudo apt install {package}`")]
            }
            _ => Vec::new(),
        }
    }
}

/// Finds a program on `PATH` and where administrators' programs are.
pub fn find(program: &str, package: &'static str) -> Result<PathBuf, ProcessError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(SYSTEM_DIRS.iter().map(PathBuf::from));
    dirs.map(|dir| dir.join(program))
        .find(|candidate| is_executable(candidate))
        .ok_or_else(|| ProcessError::NotInstalled { program: program.to_owned(), package })
}

/// Returns where this program is, as it should be written down: by the name that `PATH` has for it where there is one,
/// because that stays when the program is replaced by a newer one.
pub fn ourselves() -> io::Result<PathBuf> {
    let us = std::env::current_exe()?;
    let name = us.file_name().unwrap_or_default().to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let candidates = std::env::split_paths(&path).filter(|dir| dir.is_absolute()).map(|dir| dir.join(&name));
    let is_us = |candidate: &PathBuf| std::fs::canonicalize(candidate).is_ok_and(|found| found == us);
    Ok(candidates.into_iter().find(is_us).unwrap_or(us))
}

/// Becomes this program again, begun anew with other arguments: what signals do to it, and what it has open, is as when it
/// was started. Returns only when that fails.
pub fn become_ourselves(args: &[OsString]) -> io::Error {
    match ourselves() {
        Ok(program) => Command::new(program).args(args).exec(),
        Err(error) => error,
    }
}

fn is_executable(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// Returns the name under which a program is spoken of.
pub(super) fn short_name(program: &OsStr) -> String {
    Path::new(program).file_name().unwrap_or(program).to_string_lossy().into_owned()
}

/// Returns the last lines of what a program said, as one line of bounded length.
pub(super) fn ending(said: &[u8]) -> String {
    const LINES: usize = 4;
    const BYTES: usize = 2000;
    let from = said.len().saturating_sub(BYTES);
    let text = String::from_utf8_lossy(said.get(from..).unwrap_or_default());
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn found_or_told_how_to_get_it() {
        assert!(find("sh", "dash").unwrap().is_absolute());
        let error = find("no-such-program", "some-package").unwrap_err();
        assert!(error.hints()[0].contains("apt install some-package"));
    }

    #[test]
    fn only_the_end_is_told() {
        assert_eq!(ending(b"a\n\nb\nc\nd\ne\n"), "b; c; d; e");
        assert!(ending(&[b'x'; 100_000]).len() <= 2000);
    }
}

//! The login of this machine's user. It is read where it may be copied, and written only when that is asked for.

use std::io;
use std::path::{Path, PathBuf};

use crate::claude::account::Account;
use crate::claude::credentials::{Credentials, MAX_BYTES, Malformed, Millis};
use crate::claude::login::error::LoginError;
use crate::diagnostic::{Diagnostic, Kind};
use crate::host::env::ClaudeFiles;
use crate::host::files::{self, FileError};

/// The largest `.claude.json` that is read, in bytes. One has what was ever typed into Claude Code.
const MAX_STATE: u64 = 64 * 1024 * 1024;

/// Why there is nothing to be copied.
#[derive(Debug, thiserror::Error)]
pub enum HostProblem {
    /// Nobody has a home here.
    #[error("this user has no home directory")]
    NoHome,
    /// Claude Code has never run here.
    #[error("Claude Code has not been used on this machine: there is no `{}`", dir.display())]
    NoClaude {
        /// Its directory.
        dir: PathBuf,
    },
    /// It has run, and there is no file: logged out, or on a system with a keychain.
    #[error("there is no login in `{}`: nobody is logged in, or the login is in a keychain", path.display())]
    NoFile {
        /// The file.
        path: PathBuf,
    },
    /// There is a file, and nobody is logged in by it.
    #[error("nobody is logged in on this machine: `{}` has no login", path.display())]
    LoggedOut {
        /// The file.
        path: PathBuf,
    },
    /// It is not what Claude Code writes.
    #[error("`{}` is not a login: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: Malformed,
    },
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Diagnostic for HostProblem {
    fn kind(&self) -> Kind {
        match self {
            Self::Malformed { .. } | Self::File(_) => Kind::Failed,
            _ => Kind::NotFound,
        }
    }

    fn hints(&self) -> Vec<String> {
        let token = "or use a token: `claude setup-token`, then `ai-vm creds set NAME --token -`".to_owned();
        match self {
            Self::NoHome => {
                vec!["name the directory of Claude Code: `export CLAUDE_CONFIG_DIR=DIR`".to_owned()]
            }
            Self::NoClaude { .. } | Self::LoggedOut { .. } => {
                vec!["log in here first: `claude`, then `/login`".to_owned(), token]
            }
            Self::NoFile { .. } => vec![
                "log in here first: `claude`, then `/login`".to_owned(),
                "what macOS keeps in its keychain is not in that file and cannot be copied from it"
                    .to_owned(),
                token,
            ],
            Self::Malformed { .. } => {
                vec![
                    "log out and in again, which writes it anew: `claude`, then `/logout` and `/login`"
                        .to_owned(),
                ]
            }
            Self::File(error) => error.hints(),
        }
    }
}

/// The login of this machine, as it was found.
#[derive(Debug)]
pub struct HostLogin {
    /// The login.
    pub credentials: Credentials,
    /// Whose it is.
    pub account: Account,
}

/// Reads the login of this machine.
pub fn read(files: Option<&ClaudeFiles>) -> Result<HostLogin, HostProblem> {
    let files = files.ok_or(HostProblem::NoHome)?;
    let path = files.credentials();
    let content = match files::read_bounded(&path, MAX_BYTES as u64) {
        Ok(content) => content,
        Err(error) => {
            return Err(match error.source.kind() {
                io::ErrorKind::NotFound if !files.dir.exists() => {
                    HostProblem::NoClaude { dir: files.dir.clone() }
                }
                io::ErrorKind::NotFound => HostProblem::NoFile { path },
                io::ErrorKind::FileTooLarge => HostProblem::Malformed { path, reason: Malformed::TooLarge },
                _ => error.into(),
            });
        }
    };
    match Credentials::parse(&content) {
        Ok(credentials) => Ok(HostLogin { credentials, account: account(files) }),
        Err(Malformed::NoLogin) => Err(HostProblem::LoggedOut { path }),
        Err(_) if content.trim_ascii().is_empty() => Err(HostProblem::LoggedOut { path }),
        Err(reason) => Err(HostProblem::Malformed { path, reason }),
    }
}

/// Returns whose login this machine has, as far as Claude Code has written that down.
pub fn account(files: &ClaudeFiles) -> Account {
    files::read_bounded(&files.state, MAX_STATE).map(|state| Account::of_state(&state)).unwrap_or_default()
}

/// This machine has another login than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Updated {
    /// Where the file is kept that was there before, if there was one.
    pub backup: Option<PathBuf>,
}

/// Gives this machine a login that is newer than its own, of the same account. What else is in the file stays. `None` when
/// it has that login already.
pub fn update(
    files: Option<&ClaudeFiles>,
    newer: &Credentials,
    whose: &Account,
) -> Result<Option<Updated>, LoginError> {
    let not_changed = |reason: String| LoginError::HostNotChanged { reason };
    let files = files.ok_or_else(|| not_changed(HostProblem::NoHome.to_string()))?;
    match read(Some(files)) {
        Ok(own) if own.credentials.fingerprint() == newer.fingerprint() => return Ok(None),
        Ok(own) if !newer.is_newer_than(&own.credentials) => {
            return Err(not_changed("its own is newer than the one that ai-vm keeps".to_owned()));
        }
        // Whoever lost the race for a renewal is logged out by Claude Code itself.
        Ok(_) | Err(HostProblem::NoFile { .. } | HostProblem::LoggedOut { .. }) => {}
        Err(problem) => return Err(not_changed(problem.to_string())),
    }
    let own = account(files);
    if own.differs_from(whose) {
        return Err(not_changed(format!(
            "it is used by {own}, and the login that ai-vm keeps is that of {whose}"
        )));
    }
    // A link, as managers of such files make it, stays one.
    let path = files.credentials();
    let path = std::fs::canonicalize(&path).unwrap_or(path);
    let content = || match files::read_bounded(&path, MAX_BYTES as u64) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    let before = content()?;
    let updated =
        newer.put_into(before.as_deref()).map_err(|reason| not_changed(format!("its file: {reason}")))?;
    let backup = before.as_ref().map(|content| back_up(&path, content)).transpose()?;
    // Claude Code may have renewed it meanwhile, which must not be undone.
    if content()? != before {
        return Err(not_changed("Claude Code changes it at this moment".to_owned()));
    }
    files::replace(&path, &updated)?;
    Ok(Some(Updated { backup }))
}

fn back_up(path: &Path, content: &[u8]) -> Result<PathBuf, FileError> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".ai-vm-{}", Millis::now().0));
    let backup = PathBuf::from(name);
    files::write_new(&backup, content)?;
    Ok(backup)
}

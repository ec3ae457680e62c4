//! A Unix socket at a path that the user chose: for nobody else, put there only where nothing is lost, and taken away
//! when it is no longer listened on.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use crate::diagnostic::{Diagnostic, Kind};
use crate::host::files::{FileError, failed, remove_if_there};
use crate::host::socket;

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Something else has the name.
    #[error("`{}` exists and is no socket", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// Somebody listens on it, or it belongs to another user.
    #[error("the socket `{}` is in use", path.display())]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// The system refused.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Diagnostic for SocketError {
    fn kind(&self) -> Kind {
        match self {
            Self::File(error) => error.kind(),
            Self::NotASocket { .. } | Self::InUse { .. } => Kind::Conflict,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NotASocket { .. } => vec!["it is left as it is; choose another path".to_owned()],
            Self::InUse { path } => {
                vec![format!("end whoever listens there, or choose another path; `lsof {}`", path.display())]
            }
            Self::File(error) => error.hints(),
        }
    }
}

/// A socket file that is there. Dropped after its listener, it is removed, unless somebody else listens there meanwhile.
#[derive(Debug)]
pub struct PublicSocket {
    path: PathBuf,
}

impl PublicSocket {
    /// Makes a socket that only this user can connect to, and listens on it. One that is there already is replaced if it
    /// is this user's and nobody listens on it any more.
    pub fn listen(path: &Path) -> Result<(UnixListener, Self), SocketError> {
        let (dir, name) = split(path)?;
        make_way(path, dir, name)?;
        let it = Self { path: path.to_owned() };
        let listener = socket::listen(dir, name).map_err(|error| match error.kind() {
            // Somebody else was faster.
            io::ErrorKind::AddrInUse => SocketError::InUse { path: path.to_owned() },
            _ => failed("listen on", path)(error).into(),
        })?;
        std::fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(failed("protect", path))?;
        Ok((listener, it))
    }
}

impl Drop for PublicSocket {
    fn drop(&mut self) {
        // By its number alone the file is not to be recognised: a new one can have the same. One that cannot be removed
        // is replaced the next time.
        let _ = split(&self.path).and_then(|(dir, name)| make_way(&self.path, dir, name));
    }
}

/// Returns the directory and the name of a socket.
fn split(path: &Path) -> Result<(&Path, &str), SocketError> {
    let bad_path = || failed("listen on", path)(io::ErrorKind::InvalidInput.into());
    let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(bad_path)?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    Ok((dir.unwrap_or(Path::new(".")), name))
}

/// Removes a socket of this user's on which nobody listens any more; nothing there is fine, anything else is an error.
fn make_way(path: &Path, dir: &Path, name: &str) -> Result<(), SocketError> {
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("inspect", path)(error).into()),
    };
    if !found.file_type().is_socket() {
        return Err(SocketError::NotASocket { path: path.to_owned() });
    }
    let is_ours = found.uid() == rustix::process::geteuid().as_raw();
    match socket::connect_at_once(dir, name) {
        Err(error) if is_ours && error.kind() == io::ErrorKind::ConnectionRefused => {
            Ok(remove_if_there(path)?)
        }
        _ => Err(SocketError::InUse { path: path.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_left_behind_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        // Longer than the address of a socket may be.
        let deep = dir.path().join("d".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let path = deep.join("s");
        let (listener, it) = PublicSocket::listen(&path).unwrap();
        let mode = std::fs::symlink_metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(matches!(PublicSocket::listen(&path), Err(SocketError::InUse { .. })));
        drop(listener);
        // As after a kill: the file is there, nobody listens.
        let (listener, new) = PublicSocket::listen(&path).unwrap();
        drop(it);
        assert!(path.exists(), "somebody else's socket was removed");
        drop((listener, new));
        assert!(!path.exists());
        std::fs::write(&path, "precious").unwrap();
        assert!(matches!(PublicSocket::listen(&path), Err(SocketError::NotASocket { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
        std::os::unix::fs::symlink(&path, deep.join("link")).unwrap();
        assert!(matches!(PublicSocket::listen(&deep.join("link")), Err(SocketError::NotASocket { .. })));
    }
}

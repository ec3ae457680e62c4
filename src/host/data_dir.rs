//! The data directory: made on first use, refused when others could change it.

use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::diagnostic::{Diagnostic, Kind};
use crate::host::files::{FileError, create_private_dir, failed};
use crate::host::layout::Layout;

/// Why a data directory is not used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// It cannot be made or inspected.
    #[error(transparent)]
    File(#[from] FileError),
    /// It belongs to somebody else, who could swap keys and disks.
    #[error("the data directory `{}` belongs to uid {owner}, not to you (uid {us})", path.display())]
    NotOurs {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Our effective uid.
        us: u32,
    },
    /// Others may write to it.
    #[error("the data directory `{}` is writable by others (mode {:03o})", path.display(), mode)]
    Writable {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

impl Diagnostic for DataDirError {
    fn kind(&self) -> Kind {
        match self {
            Self::File(_) => Kind::Failed,
            Self::NotOurs { .. } | Self::Writable { .. } => Kind::Usage,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::File(error) => error.hints(),
            Self::NotOurs { .. } => {
                vec!["use a directory of your own: `export AI_VM_HOME=DIR`".to_owned()]
            }
            Self::Writable { path, .. } => {
                vec![format!("take the right away: `chmod go-w {}`", path.display())]
            }
        }
    }
}

/// Makes the data directory if it is missing and checks that nobody else can change what is in it.
pub fn open(root: &Path) -> Result<Layout, DataDirError> {
    let layout = locate(root)?;
    check(&layout)?;
    for dir in [layout.vms(), layout.images()] {
        match create_private_dir(&dir) {
            // A read-only file system still allows listing what is there.
            Err(error) if error.source.kind() == io::ErrorKind::ReadOnlyFilesystem => {}
            other => other?,
        }
    }
    Ok(layout)
}

/// Makes the data directory if it is missing, and judges nothing.
pub fn locate(root: &Path) -> Result<Layout, DataDirError> {
    if !root.exists() {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(root)
            .map_err(failed("create", root))?;
    }
    // A link to a directory of one's own is fine: what is checked is what it leads to.
    Ok(Layout::new(std::fs::canonicalize(root).map_err(failed("open", root))?))
}

/// Checks that the data directory is the user's own and that nobody else can change what is in it.
pub fn check(layout: &Layout) -> Result<(), DataDirError> {
    let root = layout.root();
    let found = std::fs::metadata(root).map_err(failed("inspect", root))?;
    let us = rustix::process::geteuid().as_raw();
    if found.uid() != us {
        return Err(DataDirError::NotOurs { path: root.to_owned(), owner: found.uid(), us });
    }
    let mode = found.mode() & 0o777;
    if mode & 0o022 != 0 {
        return Err(DataDirError::Writable { path: root.to_owned(), mode });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn made_private_and_refused_when_open_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("a/b");
        let layout = open(&root).unwrap();
        assert_eq!(std::fs::metadata(layout.vms()).unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o770)).unwrap();
        assert!(matches!(open(&root), Err(DataDirError::Writable { mode: 0o770, .. })));
    }
}

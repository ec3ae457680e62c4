//! What the user has agreed to: one file for each `.ai-vm.toml`, by its path, with the digest of the text.
//!
//! Both count. The same text elsewhere is another agreement, because `share-rw = ["."]` means another folder there.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::host::files::{self, create_private_dir, failed};
use crate::host::layout::Layout;
use crate::host::lock;
use crate::project::error::ProjectError;
use crate::project::file::Project;

/// The largest agreement that is read, in bytes.
const MAX_BYTES: u64 = 64 * 1024;

/// How long somebody else may hold the agreements.
const PATIENCE: Duration = Duration::from_secs(10);

/// One agreement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreement {
    /// The file.
    pub path: PathBuf,
    /// The digest of its text.
    pub sha256: String,
    /// When it was agreed to.
    pub since: String,
}

/// How far a file is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Just this text.
    Yes,
    /// Another text of the same file.
    Changed,
    /// Not at all.
    No,
}

/// Tells how far a file is trusted. What cannot be read is no agreement.
pub fn of(layout: &Layout, project: &Project) -> Trust {
    let agreement = files::read_bounded(&place(layout, &project.path), MAX_BYTES).ok();
    let agreement =
        agreement.and_then(|content| toml::from_str::<Agreement>(std::str::from_utf8(&content).ok()?).ok());
    match agreement {
        Some(agreement) if agreement.path != project.path => Trust::No,
        Some(agreement) if agreement.sha256 == project.digest => Trust::Yes,
        Some(_) => Trust::Changed,
        None => Trust::No,
    }
}

/// Agrees to a text.
pub fn agree(layout: &Layout, project: &Project) -> Result<(), ProjectError> {
    let dir = layout.trust();
    create_private_dir(&dir)?;
    let _lock = lock::exclusive(&dir.join("lock"), PATIENCE)?;
    let since = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let agreement = Agreement { path: project.path.clone(), sha256: project.digest.clone(), since };
    let text = toml::to_string(&agreement).map_err(std::io::Error::other);
    let path = place(layout, &project.path);
    Ok(files::replace(&path, text.map_err(failed("write", &path))?.as_bytes())?)
}

/// Takes back what was agreed to of a file, if anything was; which file it is decides, not what it says now.
pub fn revoke(layout: &Layout, path: &Path) -> Result<bool, ProjectError> {
    let place = place(layout, path);
    let was = place.exists();
    files::remove_if_there(&place)?;
    Ok(was)
}

fn place(layout: &Layout, path: &Path) -> PathBuf {
    let digest = Sha256::digest(path.as_os_str().as_encoded_bytes());
    let name: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    layout.trust().join(format!("{name}.toml"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::file::FILE;

    #[test]
    fn a_text_is_trusted_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let project = |name: &str, text: &str| {
            let folder = dir.path().join(name);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(FILE), text).unwrap();
            Project::read(&folder.join(FILE)).unwrap()
        };
        let one = project("one", "share-rw = ['.']\n");
        assert_eq!(of(&layout, &one), Trust::No);
        agree(&layout, &one).unwrap();
        assert_eq!(of(&layout, &one), Trust::Yes);
        assert_eq!(of(&layout, &project("two", "share-rw = ['.']\n")), Trust::No);
        let changed = project("one", "share-rw = ['..']\n");
        assert_eq!(of(&layout, &changed), Trust::Changed);
        agree(&layout, &changed).unwrap();
        assert_eq!((of(&layout, &changed), of(&layout, &one)), (Trust::Yes, Trust::Changed));
        assert!(revoke(&layout, &one.path).unwrap() && !revoke(&layout, &one.path).unwrap());
        assert_eq!(of(&layout, &changed), Trust::No);
        std::fs::write(place(&layout, &one.path), "nonsense").unwrap();
        assert_eq!(of(&layout, &one), Trust::No);
    }
}

//! A VM whose disk lies in a folder of the user's, beside a script that starts it.
//!
//! In the VM's own directory a link leads there. QEMU opens that, so no character of the folder's path is ever part of an
//! option. The link says as well that the file at its end is ours.

use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::diagnostic::{Diagnostic, Kind};
use crate::host::files::{self, FileError, failed};
use crate::host::layout::VmDir;
use crate::registry::error::RegistryError;
use crate::registry::record::Record;
use crate::registry::store::Registry;
use crate::ssh::command::quoted;
use crate::vm::name::VmName;
use crate::vm::share::Share;

/// Why a folder cannot have a VM's disk.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It is not there, or no longer.
    #[error("there is no folder `{}` for the disk of `{name}`", dir.display())]
    Gone {
        /// The VM.
        name: VmName,
        /// The folder.
        dir: PathBuf,
    },
    /// Others could put something else in the place of the disk.
    #[error("the folder `{}` is not yours alone: others can change what is in it", dir.display())]
    NotOurs {
        /// The folder.
        dir: PathBuf,
    },
    /// A record cannot have such a path.
    #[error("the path `{}` is not valid UTF-8", dir.display())]
    NotUtf8 {
        /// The folder.
        dir: PathBuf,
    },
    /// There is something that is not ours.
    #[error("`{}` is there already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A guest can write there.
    #[error("`{}` lies in the folder `{}`, which a VM can write to", dir.display(), share.display())]
    Shared {
        /// The folder.
        dir: PathBuf,
        /// The folder that is shared.
        share: PathBuf,
    },
    /// See there.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Diagnostic for FolderError {
    fn kind(&self) -> Kind {
        match self {
            Self::Gone { .. } => Kind::NotFound,
            Self::NotOurs { .. } | Self::NotUtf8 { .. } | Self::Shared { .. } => Kind::Usage,
            Self::Exists { .. } => Kind::Conflict,
            Self::File(error) => error.kind(),
        }
    }

    fn hints(&self) -> Vec<String> {
        let pasted = |path: &Path| String::from_utf8_lossy(&quoted(path.as_os_str())).into_owned();
        match self {
            Self::Gone { name, dir } => vec![
                format!("put it back; if it was moved: `ln -s NEW {}`", pasted(dir)),
                format!("or remove what is left of the VM: `ai-vm rm {name}`"),
            ],
            Self::NotOurs { dir } => vec![format!("take the right away: `chmod o-w {}`", pasted(dir))],
            Self::NotUtf8 { .. } => Vec::new(),
            Self::Exists { path } => vec![format!("move it away: `mv {0} {0}.old`", pasted(path))],
            Self::Shared { .. } => vec![
                "a guest that can write to a disk's file can have QEMU open any other: share it read-only, or another folder"
                    .to_owned(),
            ],
            Self::File(error) => error.hints(),
        }
    }
}

/// Returns the file of a VM's disk in a folder.
pub fn disk(dir: &Path, name: &VmName) -> PathBuf {
    dir.join(format!("{name}.qcow2"))
}

/// Chooses the folder of a VM that is to be made, and returns its real path.
pub fn choose(
    registry: &Registry,
    dir: &Path,
    name: &VmName,
    shares: &[Share],
) -> Result<PathBuf, FolderError> {
    let dir = fs::canonicalize(dir).map_err(|_| gone(name, dir))?;
    look(&dir, name)?;
    if dir.to_str().is_none() {
        return Err(FolderError::NotUtf8 { dir });
    }
    let disk = disk(&dir, name);
    if disk.symlink_metadata().is_ok() {
        return Err(FolderError::Exists { path: disk });
    }
    let records = registry.list()?.into_iter().filter_map(|entry| entry.record.ok());
    let mut all = shares.iter().cloned().chain(records.flat_map(|record| record.shares));
    match all.find(|share| share.mode.is_writable() && dir.starts_with(&share.path)) {
        Some(share) => Err(FolderError::Shared { dir, share: share.path }),
        None => Ok(dir),
    }
}

/// Refuses a folder that a guest is to write to, if the disk of a VM is in it.
pub fn may_be_shared(registry: &Registry, path: &Path) -> Result<(), FolderError> {
    let records = registry.list()?.into_iter().filter_map(|entry| entry.record.ok());
    match records.filter_map(|record| record.dir).find(|dir| dir.starts_with(path)) {
        Some(dir) => Err(FolderError::Shared { dir, share: path.to_owned() }),
        None => Ok(()),
    }
}

fn gone(name: &VmName, dir: &Path) -> FolderError {
    FolderError::Gone { name: name.clone(), dir: dir.to_owned() }
}

/// Sees that a folder is there and nobody else's.
fn look(dir: &Path, name: &VmName) -> Result<(), FolderError> {
    let found = fs::metadata(dir).ok().filter(fs::Metadata::is_dir).ok_or_else(|| gone(name, dir))?;
    let ours = found.uid() == rustix::process::geteuid().as_raw();
    if ours && found.mode() & 0o002 == 0 { Ok(()) } else { Err(FolderError::NotOurs { dir: dir.to_owned() }) }
}

/// Sees that the folder of a VM that has one is as it should be.
pub fn check(record: &Record) -> Result<(), FolderError> {
    record.dir.as_ref().map_or(Ok(()), |dir| look(dir, &record.name))
}

/// Deletes the disk of a VM, wherever it lies.
pub fn delete_disk(vm: &VmDir) -> Result<(), FileError> {
    let link = vm.file(VmDir::DISK);
    if let Ok(disk) = fs::read_link(&link) {
        files::remove_if_there(&disk)?;
    }
    files::remove_if_there(&link)
}

/// Moves a disk that has just been made into the folder of a VM that has one. Killed at any instruction, it leaves nothing
/// there that the next start does not know for ours.
pub fn place_disk(vm: &VmDir, record: &Record) -> Result<(), FolderError> {
    let Some(dir) = &record.dir else { return Ok(()) };
    let (made, place) = (vm.file(VmDir::DISK), disk(dir, &record.name));
    let beside = dir.join(format!(".{}.qcow2.new", record.name));
    files::remove_if_there(&beside)?;
    let mut from = fs::File::open(&made).map_err(failed("open", &made))?;
    let mut options = OpenOptions::new();
    let mut to =
        options.write(true).create_new(true).mode(0o600).open(&beside).map_err(failed("create", &beside))?;
    io::copy(&mut from, &mut to).and_then(|_| to.sync_all()).map_err(failed("write", &beside))?;
    let link = vm.file(VmDir::DISK_LINK);
    files::remove_if_there(&link)?;
    symlink(&place, &link).map_err(failed("create", &link))?;
    fs::rename(&link, &made).map_err(failed("replace", &made))?;
    match renameat_with(CWD, &beside, CWD, &place, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(files::sync_dir(dir)?),
        Err(error) => {
            files::remove_if_there(&beside)?;
            files::remove_if_there(&made)?;
            Err(match error {
                rustix::io::Errno::EXIST => FolderError::Exists { path: place },
                other => failed("create", &place)(other.into()).into(),
            })
        }
    }
}

/// Returns the script that starts a VM, in a folder.
pub fn script(dir: &Path, name: &VmName) -> PathBuf {
    dir.join(format!("start-{name}.sh"))
}

/// How a script begins that ai-vm has written for a VM.
fn mark(name: &VmName) -> String {
    format!("#!/bin/sh\n# Written by ai-vm for its VM `{name}`")
}

fn starts_with(script: &Path, mark: &str) -> bool {
    let is_file = script.symlink_metadata().is_ok_and(|found| found.is_file());
    is_file && files::read_bounded(script, 64 * 1024).is_ok_and(|text| text.starts_with(mark.as_bytes()))
}

/// Writes the script of a VM into a folder; `body` is what follows its first two lines. One that somebody else has written is
/// left alone, and is an error.
pub fn write_script(dir: &Path, record: &Record, body: &[u8]) -> Result<PathBuf, FolderError> {
    let path = script(dir, &record.name);
    if path.symlink_metadata().is_ok() && !starts_with(&path, &mark(&record.name)) {
        return Err(FolderError::Exists { path });
    }
    let mut text = format!("{} ({}).\n", mark(&record.name), record.uuid).into_bytes();
    text.extend_from_slice(body);
    files::replace(&path, &text)?;
    fs::set_permissions(&path, Permissions::from_mode(0o755)).map_err(failed("make executable", &path))?;
    Ok(path)
}

/// Removes what a VM has in its folder: the disk, and the script if it is of just this VM.
pub fn clear(vm: &VmDir, name: &VmName, record: Result<Record, RegistryError>) -> Result<(), FileError> {
    delete_disk(vm)?;
    let Some((dir, uuid)) = record.ok().and_then(|record| Some((record.dir?, record.uuid))) else {
        return Ok(());
    };
    let script = script(&dir, name);
    if starts_with(&script, &format!("{} ({uuid}).\n", mark(name))) {
        files::remove_if_there(&script)?;
    }
    Ok(())
}

//! The file `.ai-vm.toml`: what it can say, where it is found, and what of it needs the user's consent.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::host::files::failed;
use crate::project::error::ProjectError;
use crate::vm::capacity::Capacity;
use crate::vm::guest::Family;
use crate::vm::label::Label;
use crate::vm::login_mode::LoginMode;
use crate::vm::name::VmName;
use crate::vm::port::ForwardRequest;
use crate::vm::size::{CpuCount, DiskSize, MemorySize};
use crate::vm::spec::{Hardware, UserName};
use crate::vm::typed::{self, Mistake};

/// What the file is called.
pub const FILE: &str = ".ai-vm.toml";

/// Keys that say what the VM is, and nothing about this machine.
pub const FREE: [&str; 6] = ["name", "ram", "cpu", "storage", "user", "overlay"];

/// Keys that open something of this machine to the VM, choose what is built or run here, or put the VM among others.
pub const GUARDED: [&str; 9] =
    ["guest", "image", "sha256", "flake", "claude", "ports", "share-rw", "share-ro", "labels"];

/// The largest file that is read, in bytes.
const MAX_BYTES: u64 = 64 * 1024;

/// What it can say. Everything is optional.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Wishes {
    /// What the VM is called; by default as the folder is.
    #[serde(deserialize_with = "typed::value")]
    pub name: Option<VmName>,
    /// Its memory, as on the command line.
    #[serde(deserialize_with = "typed::value")]
    pub ram: Option<MemorySize>,
    /// Its processors.
    #[serde(deserialize_with = "typed::value")]
    pub cpu: Option<CpuCount>,
    /// Its disk.
    #[serde(deserialize_with = "typed::value")]
    pub storage: Option<DiskSize>,
    /// The login name in it.
    #[serde(deserialize_with = "typed::value")]
    pub user: Option<UserName>,
    /// Whether every start of it begins with a clean disk.
    pub overlay: bool,
    /// Its guest family, which decides what is built here.
    #[serde(deserialize_with = "typed::value")]
    pub guest: Option<Family>,
    /// The image that it boots: a file, from the folder of this file, or a URL.
    pub image: Option<String>,
    /// The checksum of the image.
    pub sha256: Option<String>,
    /// The flake that its NixOS is built from.
    pub flake: Option<String>,
    /// How Claude Code in it is logged in, which may give it a login of the user's.
    #[serde(deserialize_with = "typed::value")]
    pub claude: Option<LoginMode>,
    /// Ports that are forwarded to it.
    #[serde(deserialize_with = "typed::list")]
    pub ports: Vec<ForwardRequest>,
    /// Folders here that it reads and changes, from the folder of this file.
    pub share_rw: Vec<PathBuf>,
    /// Folders here that it reads.
    pub share_ro: Vec<PathBuf>,
    /// Labels, by which many VMs are named at once.
    #[serde(deserialize_with = "typed::list")]
    pub labels: Vec<Label>,
}

/// The file, as it was read once: what is trusted is just this text.
#[derive(Clone, Debug)]
pub struct Project {
    /// Where it is.
    pub path: PathBuf,
    /// What it says.
    pub wishes: Wishes,
    /// Its text.
    pub text: String,
    /// The SHA-256 digest of that.
    pub digest: String,
}

impl Project {
    /// Finds the file in a directory or the nearest one above it.
    pub fn find(dir: &Path) -> Result<Option<Self>, ProjectError> {
        for dir in dir.ancestors() {
            let path = dir.join(FILE);
            if path.symlink_metadata().is_ok() {
                return Self::read(&path).map(Some);
            }
        }
        Ok(None)
    }

    /// Reads the file.
    pub fn read(path: &Path) -> Result<Self, ProjectError> {
        // Neither a link to elsewhere nor a pipe on which this would wait.
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
        let file = OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path);
        let file = match file {
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
                return Err(ProjectError::NotPlain { path: path.to_owned() });
            }
            other => other.map_err(failed("read", path))?,
        };
        check(&file, path)?;
        let mut content = Vec::new();
        file.take(MAX_BYTES + 1).read_to_end(&mut content).map_err(failed("read", path))?;
        let mistake = |line, reason| ProjectError::Content { path: path.to_owned(), line, reason };
        if content.len() as u64 > MAX_BYTES {
            return Err(mistake(1, format!("the file is larger than {MAX_BYTES} bytes")));
        }
        let digest: String = Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
        let text = String::from_utf8(content).map_err(|error| {
            let before = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            mistake(line, "not UTF-8".to_owned())
        })?;
        let wishes = typed::read(&text).map_err(|Mistake { line, reason }| mistake(line, reason))?;
        Ok(Self { path: path.to_owned(), wishes, text, digest })
    }

    /// Returns the folder that it is in.
    pub fn dir(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// Returns what its VM is called.
    pub fn name(&self) -> Result<VmName, ProjectError> {
        let by_folder = || self.dir().file_name()?.to_str()?.parse().ok();
        let name = self.wishes.name.clone().or_else(by_folder);
        name.ok_or_else(|| ProjectError::NoName { path: self.path.clone() })
    }

    /// Returns by which keys it asks for something of this machine. `defaults` is what a VM has that nothing is said of.
    pub fn guarded(&self, capacity: &Capacity, defaults: &Hardware) -> Vec<String> {
        let wishes = &self.wishes;
        let asked = [
            wishes.guest.is_some(),
            wishes.image.is_some(),
            wishes.sha256.is_some(),
            wishes.flake.is_some(),
            wishes.claude.is_some(),
            !wishes.ports.is_empty(),
            !wishes.share_rw.is_empty(),
            !wishes.share_ro.is_empty(),
            !wishes.labels.is_empty(),
        ];
        let keys =
            GUARDED.into_iter().zip(asked).filter(|(_, asked)| *asked).map(|(key, _)| format!("`{key}`"));
        let hardware = Hardware {
            memory: wishes.ram.unwrap_or(defaults.memory),
            cpus: wishes.cpu.unwrap_or(defaults.cpus),
            disk: wishes.storage.unwrap_or(defaults.disk),
        };
        let usual = capacity.warnings(defaults);
        // What this machine can spare may be asked for by anybody.
        let beyond = capacity.warnings(&hardware).into_iter().filter(|warning| !usual.contains(warning));
        keys.chain(beyond).collect()
    }

    /// Returns what it says about the VM alone.
    pub fn free(&self) -> Wishes {
        let Wishes { name, ram, cpu, storage, user, overlay, .. } = self.wishes.clone();
        Wishes { name, ram, cpu, storage, user, overlay, ..Wishes::default() }
    }

    /// Returns all that it says, with paths as they are meant: from its folder.
    pub fn all(&self) -> Wishes {
        let mut wishes = self.wishes.clone();
        let from_here = |path: &mut PathBuf| *path = self.dir().join(&*path);
        wishes.share_rw.iter_mut().chain(&mut wishes.share_ro).for_each(from_here);
        let is_path = |text: &str| !text.contains(':');
        for path in [&mut wishes.image, &mut wishes.flake].into_iter().flatten().filter(|path| is_path(path))
        {
            *path = self.dir().join(&*path).to_string_lossy().into_owned();
        }
        wishes
    }
}

/// Only the user's own files count, and root's: whoever can write above a folder would otherwise speak in it.
fn check(file: &File, path: &Path) -> Result<(), ProjectError> {
    let found = file.metadata().map_err(failed("read", path))?;
    if !found.is_file() {
        return Err(ProjectError::NotPlain { path: path.to_owned() });
    }
    if ![0, rustix::process::geteuid().as_raw()].contains(&found.uid()) {
        return Err(ProjectError::Foreign { path: path.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn project(text: &str) -> Result<Project, ProjectError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        std::fs::write(&path, text).unwrap();
        Project::read(&path)
    }

    fn guarded(text: &str) -> Vec<String> {
        let memory = MemorySize::from_mib(1024).unwrap();
        let cpus = CpuCount::new(1).unwrap();
        let defaults = Hardware { memory, cpus, disk: DiskSize::from_gib(10).unwrap() };
        let capacity = Capacity { memory_mib: Some(8000), cpus: Some(4), free_disk: Some(100 << 30) };
        project(text).unwrap().guarded(&capacity, &defaults)
    }

    #[test]
    fn what_is_the_vms_alone_is_free_and_the_rest_is_not() {
        assert_eq!(
            guarded("name = 'web'\nram = 4\ncpu = 2\nstorage = '20gb'\nuser = 'dev'\noverlay = true\n"),
            [""; 0]
        );
        for key in [
            "guest = 'debian'",
            "image = 'x.qcow2'",
            "flake = '.'",
            "claude = 'copy'",
            "ports = ['8080:80']",
            "share-rw = ['.']",
            "share-ro = ['/srv']",
            "labels = ['team=red']",
        ] {
            let name = key.split(' ').next().unwrap();
            assert_eq!(guarded(key), [format!("`{name}`")]);
        }
        for greedy in ["ram = 7", "cpu = 5", "storage = 200"] {
            assert_eq!(guarded(greedy).len(), 1, "{greedy}");
        }
    }

    #[test]
    fn mistakes_have_their_line() {
        for (text, line, part) in [
            ("name = 'web'\nbind = '0.0.0.0'\n", 2, "unknown field `bind`"),
            ("\nports = ['80']\n", 2, ""),
            ("name = '../x'\n", 1, "the VM name"),
            ("\nclaude = 'mine'\n", 2, "mine"),
            ("a\n", 1, ""),
        ] {
            let error = project(text).unwrap_err().to_string();
            assert!(error.contains(&format!("{FILE}:{line}: ")) && error.contains(part), "{error}");
        }
    }

    #[test]
    fn only_a_plain_file_speaks_and_the_nearest_one() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("a/b");
        std::fs::create_dir_all(&below).unwrap();
        assert!(Project::find(&below).unwrap().is_none_or(|found| !found.path.starts_with(dir.path())));
        std::fs::write(dir.path().join(FILE), "name = 'far'\n").unwrap();
        assert_eq!(Project::find(&below).unwrap().unwrap().name().unwrap().as_str(), "far");
        std::fs::write(dir.path().join("a").join(FILE), "").unwrap();
        assert_eq!(Project::find(&below).unwrap().unwrap().name().unwrap().as_str(), "a");
        symlink("/dev/zero", below.join(FILE)).unwrap();
        assert!(matches!(Project::find(&below), Err(ProjectError::NotPlain { .. })));
    }
}

//! Which folders of this machine are not for guests, and which only for somebody who insists. Pure: what is there on the
//! disk is told by the caller.

use std::path::{Path, PathBuf};

use crate::diagnostic::{Diagnostic, Kind};

/// What tells a file from every other: its device and its number there. A folder that is mounted in a second place is
/// recognised by it.
pub type FileId = (u64, u64);

/// A folder that is there, without links on the way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// Its path.
    pub path: PathBuf,
    /// What it is, then what each folder above it is, up to the root.
    pub ids: Vec<FileId>,
}

impl Folder {
    /// Tells whether it is another folder or lies in it, by its path or by what it is.
    fn lies_in(&self, other: &Self) -> bool {
        let id = other.ids.first();
        self.path.starts_with(&other.path) || id.is_some_and(|id| self.ids.contains(id))
    }
}

/// What this user has that no guest should see.
#[derive(Clone, Debug)]
pub struct Private {
    /// ai-vm's own data directory.
    pub data: Folder,
    /// The directory of ai-vm's configuration, if it is there.
    pub config: Option<Folder>,
    /// The user's home, if there is one.
    pub home: Option<Folder>,
    /// The [`SECRETS`] that are in that home.
    pub secrets: Vec<Folder>,
}

/// Folders below which is the machine itself rather than somebody's files: never shared.
const MACHINE: [&str; 6] = ["/boot", "/efi", "/sys", "/proc", "/dev", "/run"];

/// Folders below which the system keeps its own.
const SYSTEM: [&str; 15] = [
    "/etc",
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix",
    "/gnu",
    "/var/lib",
    "/var/log",
    "/var/cache",
    "/var/spool",
    "/var/backups",
];

/// Folders that have everybody's in them; what lies below is somebody's.
const WHOLE: [&str; 10] =
    ["/var", "/var/tmp", "/var/www", "/opt", "/srv", "/mnt", "/media", "/tmp", "/lost+found", "/snap"];

/// Folders in which homes are.
const HOMES: [&str; 2] = ["/home", "/var/home"];

/// Where programs keep keys and logins, below a home.
pub const SECRETS: [&str; 22] = [
    ".ssh",
    ".gnupg",
    ".aws",
    ".azure",
    ".kube",
    ".docker",
    ".claude",
    ".codex",
    ".gemini",
    ".password-store",
    ".mozilla",
    ".thunderbird",
    ".vault-token",
    ".config/gh",
    ".config/gcloud",
    ".config/op",
    ".config/rclone",
    ".config/sops",
    ".config/chromium",
    ".config/google-chrome",
    ".local/share/keyrings",
    ".local/share/kwalletd",
];

/// What gives a folder away as somebody's home, or the copy of one: these it has at its top. Not `.claude`, which many
/// projects have.
const MARKS: [&str; 7] =
    [".ssh", ".gnupg", ".aws", ".netrc", ".git-credentials", ".config/gh", ".claude/.credentials.json"];

/// Why a folder is not for guests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It holds the machine itself.
    Machine,
    /// It is ai-vm's own: a guest could rewrite the disks and keys of others.
    OwnData,
    /// The system's own files are there.
    System,
    /// It holds what belongs to many.
    Whole,
    /// It is a home, or homes are in it.
    Home,
    /// Keys or logins are there.
    Secret(PathBuf),
    /// ai-vm's own data or configuration lies in it.
    AboveOurs,
}

impl Reason {
    /// Tells whether the user cannot insist.
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Machine | Self::OwnData)
    }
}

/// A folder that is not shared.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` {}{}", path.display(), words(reason), if reason.is_final() { " and is never shared" } else { "" })]
pub struct Refused {
    /// The folder.
    pub path: PathBuf,
    /// Why not.
    pub reason: Reason,
}

fn words(reason: &Reason) -> String {
    match reason {
        Reason::Machine => "holds the machine itself".to_owned(),
        Reason::OwnData => "is ai-vm's own, with the disks and keys of VMs".to_owned(),
        Reason::System => "belongs to the system".to_owned(),
        Reason::Whole => "holds the files of many".to_owned(),
        Reason::Home => "is a whole home, or has one in it".to_owned(),
        Reason::Secret(what) => format!("holds secrets: `{}`", what.display()),
        Reason::AboveOurs => "has ai-vm's own data or configuration in it".to_owned(),
    }
}

impl Diagnostic for Refused {
    fn kind(&self) -> Kind {
        Kind::Usage
    }

    fn hints(&self) -> Vec<String> {
        let narrower = "share only the folder that the VM needs, further down".to_owned();
        match self.reason {
            Reason::Machine => Vec::new(),
            Reason::OwnData => vec!["share a folder elsewhere".to_owned()],
            _ => vec![narrower, "or, if every program in the VM may have it all: add `--i-know`".to_owned()],
        }
    }
}

/// Says why a folder is not for guests; `None` where nothing speaks against it. `has` tells whether something of this
/// name is in it.
pub fn judge(folder: &Folder, private: &Private, has: impl Fn(&str) -> bool) -> Option<Reason> {
    let path = folder.path.as_path();
    let below = |places: &[&str]| places.iter().any(|place| path.starts_with(place));
    let is_one_of = |places: &[&str]| places.iter().any(|place| path == Path::new(place));
    // The root again, mounted in a second place, is found by what it is.
    let is_root = folder.ids.first() == folder.ids.last();
    if is_root || path.parent().is_none() || below(&MACHINE) {
        return Some(Reason::Machine);
    }
    if folder.lies_in(&private.data) {
        return Some(Reason::OwnData);
    }
    let is_home = path.parent().is_some_and(|parent| HOMES.iter().any(|homes| parent == Path::new(homes)));
    let has_home = private.home.as_ref().is_some_and(|home| home.lies_in(folder));
    if is_home || has_home || is_one_of(&HOMES) || path == Path::new("/root") {
        return Some(Reason::Home);
    }
    if below(&SYSTEM) {
        return Some(Reason::System);
    }
    if is_one_of(&WHOLE) {
        return Some(Reason::Whole);
    }
    if let Some(secret) = secret_above(path) {
        return Some(Reason::Secret(secret));
    }
    let known = private.secrets.iter().find(|secret| secret.lies_in(folder) || folder.lies_in(secret));
    if let Some(secret) = known {
        return Some(Reason::Secret(secret.path.clone()));
    }
    if let Some(mark) = MARKS.iter().find(|mark| has(mark)) {
        return Some(Reason::Secret(path.join(mark)));
    }
    let ours = private.config.as_ref().into_iter().chain([&private.data]);
    ours.into_iter().any(|ours| ours.lies_in(folder)).then_some(Reason::AboveOurs)
}

/// Returns the part of a path, whosever home it is in, that is one of [`SECRETS`].
fn secret_above(path: &Path) -> Option<PathBuf> {
    path.ancestors().find(|above| SECRETS.iter().any(|secret| above.ends_with(secret))).map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A folder whose identity, and that of each folder above it, follows from its path.
    fn folder(path: &str) -> Folder {
        let id = |path: &Path| {
            let bytes = path.as_os_str().as_encoded_bytes();
            (1, bytes.iter().fold(7u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte))))
        };
        Folder { path: path.into(), ids: Path::new(path).ancestors().map(id).collect() }
    }

    fn private() -> Private {
        Private {
            data: folder("/home/u/.local/share/ai-vms"),
            config: Some(folder("/home/u/.config/ai-vm")),
            home: Some(folder("/home/u")),
            secrets: vec![folder("/home/u/.ssh"), folder("/home/u/.config/gh"), folder("/data/keys")],
        }
    }

    fn reason(path: &str) -> Option<Reason> {
        judge(&folder(path), &private(), |_| false)
    }

    #[test]
    fn the_machine_and_our_own_are_final() {
        for path in ["/", "/proc", "/proc/1", "/sys", "/dev/shm/x", "/boot", "/run/user/1000", "/efi"] {
            assert_eq!(reason(path), Some(Reason::Machine), "{path}");
        }
        for path in ["/home/u/.local/share/ai-vms", "/home/u/.local/share/ai-vms/vms/web"] {
            assert_eq!(reason(path), Some(Reason::OwnData), "{path}");
        }
        assert!(Reason::Machine.is_final() && Reason::OwnData.is_final() && !Reason::Home.is_final());
    }

    #[test]
    fn what_only_somebody_who_insists_shares() {
        for path in ["/home", "/home/u", "/home/other", "/root", "/var/home/v"] {
            assert_eq!(reason(path), Some(Reason::Home), "{path}");
        }
        for path in ["/etc", "/etc/nginx", "/usr/local", "/var/lib/docker", "/nix/store"] {
            assert_eq!(reason(path), Some(Reason::System), "{path}");
        }
        for path in ["/var", "/tmp", "/srv", "/mnt"] {
            assert_eq!(reason(path), Some(Reason::Whole), "{path}");
        }
        for path in [
            "/home/u/.ssh",
            "/home/u/.ssh/old",
            "/home/other/.aws",
            "/home/u/.config/gh",
            "/home/u/p/.claude",
            "/backup/.gnupg/x",
            "/data/keys/deploy",
            "/data",
            "/home/u/.config",
        ] {
            assert!(matches!(reason(path), Some(Reason::Secret(_))), "{path}: {:?}", reason(path));
        }
        for path in ["/home/u/.local", "/home/u/.local/share", "/home/u/.config/ai-vm"] {
            assert_eq!(reason(path), Some(Reason::AboveOurs), "{path}");
        }
    }

    #[test]
    fn what_is_somebodys_work_is_shared() {
        for path in [
            "/home/u/src",
            "/home/u/src/web",
            "/root/web",
            "/srv/www",
            "/tmp/x",
            "/var/www/site",
            "/home/u/.config/nvim",
            "/home/u/.local/share/app",
            "/etcetera",
            "/home/u/my.ssh",
            "/data2",
        ] {
            assert_eq!(reason(path), None, "{path}");
        }
        // A project with settings for Claude, and none of its logins.
        assert_eq!(judge(&folder("/home/u/src"), &private(), |name| name == ".claude"), None);
        let copy = judge(&folder("/backup/u"), &private(), |name| name == ".ssh");
        assert_eq!(copy, Some(Reason::Secret("/backup/u/.ssh".into())));
    }

    #[test]
    fn another_path_to_the_same_folder_is_recognised() {
        let ids = |path: &str| folder(path).ids;
        let also = |path: &str, ids: Vec<FileId>| Folder { path: path.into(), ids };
        for (ids, expected) in [
            (ids("/"), Reason::Machine),
            (ids("/home/u/.local/share/ai-vms/vms"), Reason::OwnData),
            (ids("/home/u"), Reason::Home),
            (ids("/data/keys"), Reason::Secret("/data/keys".into())),
            (ids("/home/u/.local/share"), Reason::AboveOurs),
        ] {
            let mut ids = ids;
            ids.push(folder("/x").ids[1]);
            // The root in a second place has the root above it.
            assert_eq!(judge(&also("/x/y", ids), &private(), |_| false), Some(expected));
        }
    }

    proptest! {
        /// Nothing from which ai-vm's own data can be reached is shared without a word.
        #[test]
        fn nobody_gets_at_our_data(parts in proptest::collection::vec("[a-c]", 0..4), depth in 0usize..4) {
            let data = format!("/{}/vms", parts.join("/"));
            let private = Private { data: folder(&data), config: None, home: None, secrets: Vec::new() };
            for above in Path::new(&data).ancestors() {
                let reason = judge(&folder(above.to_str().unwrap()), &private, |_| false);
                prop_assert!(reason.is_some(), "{}", above.display());
            }
            let within = format!("{data}{}", "/x".repeat(depth));
            let reason = judge(&folder(&within), &private, |_| false);
            prop_assert_eq!(reason, Some(Reason::OwnData));
            prop_assert_eq!(judge(&folder(&format!("{data}2")), &private, |_| false), None);
        }
    }
}

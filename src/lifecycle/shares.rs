//! Folders of this machine that a VM sees: chosen, added and taken away, and opened at each launch.
//!
//! A folder is judged when it is shared and again at each launch, because between the two its path may have come to lead
//! elsewhere: somebody who can write where it lies, another guest for instance, may have put a link there. What has been
//! judged is open by then, and it is what QEMU gets, so nothing can be exchanged in between.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use crate::host::folder::OpenFolder;
use crate::host::layout::VmDir;
use crate::host::lock;
use crate::lifecycle::Engine;
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::event::Listener;
use crate::lifecycle::folder;
use crate::lifecycle::reach::{self, Route};
use crate::lifecycle::run::Run;
use crate::lifecycle::share_error::ShareError;
use crate::qemu::share::SharedFolder;
use crate::registry::record::Record;
use crate::ssh::command::RemoteCommand;
use crate::ssh::program::Program;
use crate::vm::name::VmName;
use crate::vm::share::{MAX, Share, ShareMode};
use crate::vm::share_policy::{self, Private, Refused};

/// How long a guest may take to say what it has mounted.
const ANSWER: Duration = Duration::from_secs(20);

/// A folder that is to be shared.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The folder, as the user names it.
    pub path: PathBuf,
    /// Whether the guest may write.
    pub mode: ShareMode,
    /// Whether the user insists.
    pub i_know: bool,
}

/// What becomes of a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ShareState {
    /// The guest has it.
    Active,
    /// The guest has it from the next start on.
    Pending,
    /// The guest has it until it is stopped.
    Leaving,
}

/// A folder that may be shared.
#[derive(Clone, Debug)]
struct Found {
    path: PathBuf,
    mode: ShareMode,
    insists: bool,
}

/// Chooses the shares of a new VM.
pub fn choose(engine: &Engine, wanted: &[Wanted]) -> Result<Vec<Share>, ShareError> {
    join(&find(engine, wanted)?, &[])
}

/// Looks at folders, which may take as long as their file systems like.
fn find(engine: &Engine, wanted: &[Wanted]) -> Result<Vec<Found>, ShareError> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let private = private(engine);
    for wanted in wanted.iter().filter(|wanted| wanted.mode.is_writable()) {
        // One that is not there is told below.
        let path = std::fs::canonicalize(&wanted.path).unwrap_or_else(|_| wanted.path.clone());
        folder::may_be_shared(&engine.registry, &path)
            .map_err(|error| ShareError::HasDisk(Box::new(error)))?;
    }
    let find = |Wanted { path, mode, i_know }: &Wanted| {
        let (opened, insists) = open(&private, path, *mode, *i_know)?;
        let path = opened.folder.path;
        if path.to_str().is_none() {
            return Err(ShareError::NotUtf8 { path });
        }
        Ok(Found { path, mode: *mode, insists })
    };
    wanted.iter().map(find).collect()
}

/// Adds folders to the shares that a VM has, and returns all. What it has already stays as it is.
fn join(found: &[Found], has: &[Share]) -> Result<Vec<Share>, ShareError> {
    let mut shares = has.to_vec();
    for Found { path, mode, insists } in found {
        if let Some(there) = shares.iter_mut().find(|share| share.path == *path) {
            if there.mode != *mode {
                return Err(ShareError::OtherMode { path: path.clone(), mode: there.mode });
            }
            there.i_know |= insists;
            continue;
        }
        let new = Share::new(path.clone(), *mode, *insists, &shares);
        if let Some(other) = shares.iter().find(|share| share.tag() == new.tag()) {
            return Err(ShareError::SameTag { path: new.path, other: other.path.clone() });
        }
        if shares.len() == MAX {
            return Err(ShareError::TooMany);
        }
        shares.push(new);
    }
    Ok(shares)
}

/// Gives a VM further folders and returns those that were asked for, each with what becomes of it. All or none.
pub fn add(
    engine: &Engine,
    name: &VmName,
    wanted: &[Wanted],
) -> Result<Vec<(Share, ShareState)>, LifecycleError> {
    let found = find(engine, wanted)?;
    let record = engine.registry.update(name, |record, _| {
        own(record)?;
        record.shares = join(&found, &record.shares)?;
        Ok::<_, LifecycleError>(())
    })?;
    let mut states = look(&record.shares, run(engine, name)?.as_ref());
    states
        .retain(|(share, _)| found.iter().any(|found| found.path == share.path && found.mode == share.mode));
    Ok(states)
}

/// Takes shares away from a VM, by their names in the guest or their paths, and returns them. All or none.
pub fn remove(engine: &Engine, name: &VmName, which: &[String]) -> Result<Vec<Share>, LifecycleError> {
    // A path that is no longer there is known by how it was written, one that is, by where it leads.
    let paths = |given: &String| {
        let given = Path::new(given);
        [std::path::absolute(given), std::fs::canonicalize(given)].into_iter().flatten().collect::<Vec<_>>()
    };
    let which: Vec<(&String, Vec<PathBuf>)> = which.iter().map(|given| (given, paths(given))).collect();
    let mut gone: Vec<Share> = Vec::new();
    engine.registry.update(name, |record, _| {
        own(record)?;
        for (given, paths) in which {
            let is_meant = |share: &&Share| share.name == *given || paths.contains(&share.path);
            let Some(share) = record.shares.iter().find(is_meant) else {
                return Err(ShareError::Unknown { name: name.clone(), given: given.clone() }.into());
            };
            if !gone.contains(share) {
                gone.push(share.clone());
            }
        }
        record.shares.retain(|share| !gone.contains(share));
        Ok::<_, LifecycleError>(())
    })?;
    Ok(gone)
}

fn own(record: &Record) -> Result<(), LifecycleError> {
    if record.guest.is_adopted() {
        Err(LifecycleError::Adopted { name: record.name.clone() })
    } else {
        Ok(())
    }
}

/// Returns the facts of the launch that lives, if one does.
pub fn run(engine: &Engine, name: &VmName) -> Result<Option<Run>, LifecycleError> {
    let dir = engine.registry.dir(name);
    Ok(if lock::is_held(&dir.file(VmDir::RUN_LOCK))? { Run::read(&dir) } else { None })
}

/// Says what becomes of each share of a VM, those that the present launch has and the record has no longer included.
pub fn look(shares: &[Share], run: Option<&Run>) -> Vec<(Share, ShareState)> {
    let given = run.map(|run| run.shares.as_slice()).unwrap_or_default();
    let is_among = |share: &Share, shares: &[Share]| shares.iter().any(|other| is_same(share, other));
    let state = |share: &Share| if is_among(share, given) { ShareState::Active } else { ShareState::Pending };
    let kept = shares.iter().map(|share| (share.clone(), state(share)));
    let leaving = given.iter().filter(|share| !is_among(share, shares));
    kept.chain(leaving.map(|share| (share.clone(), ShareState::Leaving))).collect()
}

/// Tells whether a guest sees the same.
fn is_same(one: &Share, other: &Share) -> bool {
    (&one.path, one.mode, &one.name) == (&other.path, other.mode, &other.name)
}

/// The shares of one launch. What the record says may change meanwhile.
#[derive(Debug, Default)]
pub struct Given {
    /// The shares.
    pub shares: Vec<Share>,
    /// Their folders, open.
    pub folders: Vec<OwnedFd>,
    /// The devices by which the guest gets them.
    pub devices: Vec<SharedFolder>,
}

/// Opens the folders of a VM for a launch.
pub fn for_launch(engine: &Engine, record: &Record) -> Result<Given, ShareError> {
    let mut given = Given { shares: record.shares.clone(), ..Given::default() };
    if given.shares.is_empty() {
        return Ok(given);
    }
    let private = private(engine);
    for share in &given.shares {
        let folder = reopen(&private, &record.name, share)?.descriptor;
        given.devices.push(SharedFolder {
            descriptor: folder.as_raw_fd(),
            tag: share.tag(),
            writable: share.mode.is_writable(),
            mapped: is_mapped(share.mode),
        });
        given.folders.push(folder);
    }
    Ok(given)
}

/// Asks a guest that is ready whether it has mounted everything that its launch has, and returns a share that is missing.
/// What it does not say it is not asked twice.
pub async fn missing(engine: &Engine, name: &VmName, listener: &Listener) -> Option<Share> {
    let shares = run(engine, name).ok().flatten()?.shares;
    if shares.is_empty() {
        return None;
    }
    let script = "n=0; for tag; do n=$((n + 1)); grep -q \"^$tag /mnt/host-\" /proc/mounts || exit $n; done";
    let argv = ["sh", "-c", script, "sh"].map(OsString::from).into_iter();
    let argv = argv.chain(shares.iter().map(|share| share.tag().into())).collect();
    let program = Program::Command(RemoteCommand { argv, ..RemoteCommand::default() }.encode().ok()?);
    let route = Route { limit: ANSWER, shared: true };
    let running = reach::start(engine, name, route, &program, None, listener).await.ok()?;
    let number = usize::from(running.status(Instant::now() + ANSWER).await.ok()?);
    shares.into_iter().nth(number.checked_sub(1)?)
}

/// Says what is wrong with a share, so that the VM would not start with it.
pub fn problem(engine: &Engine, name: &VmName, share: &Share) -> Option<ShareError> {
    match reopen(&private(engine), name, share) {
        Err(ShareError::Lost { error, .. }) => Some(*error),
        Err(error) => Some(error),
        Ok(_) => None,
    }
}

fn reopen(private: &Private, name: &VmName, share: &Share) -> Result<OpenFolder, ShareError> {
    let lost = |error| ShareError::Lost {
        name: name.clone(),
        path: share.path.clone(),
        mode: share.mode,
        error: Box::new(error),
    };
    let (opened, _) = open(private, &share.path, share.mode, share.i_know).map_err(lost)?;
    if opened.folder.path != share.path {
        return Err(lost(ShareError::Elsewhere { path: share.path.clone(), real: opened.folder.path }));
    }
    Ok(opened)
}

fn private(engine: &Engine) -> Private {
    crate::host::folder::private(engine.registry.layout().root(), &engine.config, engine.home.as_deref())
}

/// Opens a folder that guests may see, and tells whether that is only because the user insists.
fn open(
    private: &Private,
    path: &Path,
    mode: ShareMode,
    i_know: bool,
) -> Result<(OpenFolder, bool), ShareError> {
    let opened = crate::host::folder::open(path).map_err(|source| {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => ShareError::NotThere { path },
            io::ErrorKind::NotADirectory => ShareError::NotAFolder { path },
            _ => ShareError::Unreadable { path, source },
        }
    })?;
    let reason = share_policy::judge(&opened.folder, private, |name| opened.has(name));
    let insists = match reason {
        Some(reason) if reason.is_final() || !i_know => {
            return Err(Refused { path: opened.folder.path, reason }.into());
        }
        reason => reason.is_some(),
    };
    if is_mapped(mode) && !opened.keeps_attributes() {
        return Err(ShareError::NoAttributes { path: opened.folder.path });
    }
    Ok((opened, insists))
}

/// Tells whether owners and modes that a guest gives to files are only written down beside them. An ordinary user can
/// make no file that runs as somebody else; root could, and a guest by it.
pub fn is_mapped(mode: ShareMode) -> bool {
    mode.is_writable() && rustix::process::geteuid().is_root()
}

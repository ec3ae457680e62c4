//! Fetches the commits of a guest's repository into refs of its own here.

use std::ffi::OsStr;

use tokio::sync::Mutex;

use crate::git::error::GitError;
use crate::git::link::{self, Bounds};
use crate::git::remote;
use crate::git::report::{self, Report, Since};
use crate::git::repository::{self, Repository};
use crate::git::stage::{Ref, Refs, Stage};
use crate::host::files::failed;
use crate::host::random;
use crate::lifecycle::event::unless_quick;
use crate::transfer::session::Guests;
use crate::vm::name::VmName;

/// How many refs are taken from a guest.
const MAX_REFS: usize = 20_000;

/// What is fetched.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The folder in the guest, from its home directory if it is not absolute.
    pub dir: &'a OsStr,
    /// How much of it.
    pub bounds: Bounds,
    /// Whether refs go that the guest has no more.
    pub prune: bool,
}

/// A stage in which a guest's refs have arrived.
#[derive(Debug)]
pub struct Arrived {
    /// The stage.
    pub stage: Stage,
    /// What has arrived.
    pub refs: Refs,
}

impl Arrived {
    /// Returns what the script in the guest has made under this name.
    pub fn own(&self, name: &str) -> Option<&str> {
        let own = |known: &&Ref| known.name.strip_prefix("own/").is_some_and(|known| known == name);
        self.refs.commits.iter().find(own).map(|known| known.oid.as_str())
    }
}

/// Lets what a guest has arrive in a stage; with `working` also what is not committed there.
pub async fn arrive(
    guests: &Guests<'_>,
    repository: &Repository,
    vm: &VmName,
    request: Request<'_>,
    working: bool,
) -> Result<Arrived, GitError> {
    let stage = Stage::new(guests.engine.registry.layout(), repository)?;
    let token = random::hex128().map_err(failed("read", "/dev/urandom".as_ref()))?;
    let program = remote::serve(request.dir, &token, working)?;
    link::run(guests, vm, &program, stage.fetching(&token)?, request.bounds).await?;
    blocking(vm, move || {
        let refs = stage.refs(MAX_REFS)?;
        for name in &refs.others {
            stage.set(name, None)?;
        }
        Ok(Arrived { stage, refs })
    })
    .await
}

/// Fetches. `turn` is taken while something is changed here, so that several VMs do not stand in each other's way.
pub async fn fetch(
    guests: &Guests<'_>,
    repository: &Repository,
    vm: &VmName,
    request: Request<'_>,
    turn: &Mutex<()>,
) -> Result<Report, GitError> {
    let mut arrived = arrive(guests, repository, vm, request, false).await?;
    let (repository, name, prune) = (repository.clone(), vm.clone(), request.prune);
    let listener = (guests.listener)(vm);
    let _turn = turn.lock().await;
    let looking = blocking(vm, move || {
        if let Some(head) = arrived.own("head").map(str::to_owned) {
            arrived.stage.set("guest/HEAD", Some(&head))?;
            arrived.refs.commits.push(Ref { name: "guest/HEAD".to_owned(), oid: head });
        }
        let head = repository.head()?;
        let tracked = repository.tracked(&name)?;
        let namespace = repository::namespace(&name);
        let since = Since { head: head.as_deref(), tracked: &tracked, namespace: &namespace };
        let mut report = report::look(&arrived.stage, &arrived.refs.commits, &since)?;
        let guests = |name: &String| name.strip_prefix("guest/").map(str::to_owned);
        report.refused = arrived.refs.others.iter().filter_map(guests).collect();
        repository.take(&arrived.stage, &name, prune)?;
        Ok(report)
    });
    unless_quick(&listener, "looking at what has come", looking).await
}

/// Does what waits for programs here, apart from what waits for guests.
pub(super) async fn blocking<T: Send + 'static>(
    vm: &VmName,
    work: impl FnOnce() -> Result<T, GitError> + Send + 'static,
) -> Result<T, GitError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| GitError::Ended { vm: vm.clone() })?
}

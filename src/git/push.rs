//! Brings a branch of the repository here into a folder of a guest.

use std::ffi::OsStr;

use crate::git::error::GitError;
use crate::git::link::{self, Bounds};
use crate::git::remote::{self, Heritage};
use crate::git::repository::{Repository, Source};
use crate::git::stage::Stage;
use crate::transfer::session::Guests;
use crate::vm::name::VmName;

/// What is pushed.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The commit, and the branch that it is to be.
    pub source: &'a Source,
    /// The folder in the guest, from its home directory if it is not absolute.
    pub dir: &'a OsStr,
    /// Whether the guest's own work may be replaced; it keeps it under `refs/ai-vm-replaced`.
    pub force: bool,
    /// What is taken from the guest meanwhile.
    pub bounds: Bounds,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It is checked out there.
    CheckedOut,
    /// It is there, and something else stays checked out.
    Beside,
}

/// Pushes.
pub async fn push(
    guests: &Guests<'_>,
    repository: &Repository,
    vm: &VmName,
    request: Request<'_>,
) -> Result<Pushed, GitError> {
    let Request { source, dir, force, bounds } = request;
    let heritage = Heritage {
        name: repository.setting("user.name"),
        email: repository.setting("user.email"),
        format: repository.format.clone(),
    };
    let program = remote::receive(dir, source, force, &heritage)?;
    let stage = Stage::new(guests.engine.registry.layout(), repository)?;
    let git = stage.pushing(&source.oid, &source.branch, force)?;
    let said = link::run(guests, vm, &program, git, bounds).await?;
    Ok(if remote::stays(&said) { Pushed::Beside } else { Pushed::CheckedOut })
}

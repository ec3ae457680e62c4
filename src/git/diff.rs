//! What a guest's work changes, as text that a git here makes from objects that were fetched and checked.

use std::process::Command;

use crate::git::changed::{Changed, Reader};
use crate::git::command::LIMIT;
use crate::git::error::GitError;
use crate::git::fetch::{self, Request, blocking};
use crate::git::report;
use crate::git::repository::Repository;
use crate::git::stage::Stage;
use crate::host::layout::Layout;
use crate::host::pipe;
use crate::transfer::session::Guests;
use crate::vm::name::VmName;

/// How a difference is shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Look {
    /// How much of it.
    pub form: Form,
    /// Whether with colours.
    pub colour: bool,
}

/// How much of a difference is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// All of it.
    #[default]
    Patch,
    /// How many lines of which files.
    Stat,
    /// The names of the files.
    Names,
}

/// Two commits that are compared, and where they can be seen.
#[derive(Debug)]
pub struct Difference {
    stage: Stage,
    /// Where the work parted from what is checked out here; an empty tree where it never did.
    pub from: String,
    /// The work.
    pub to: String,
}

/// Compares what was fetched of a VM's branch with where it parted from what is checked out here. Asks nobody.
pub fn fetched(
    layout: &Layout,
    repository: &Repository,
    vm: &VmName,
    branch: &str,
) -> Result<Difference, GitError> {
    let tracked = repository.tracked(vm)?;
    if tracked.is_empty() {
        return Err(GitError::NotFetched { vm: vm.clone() });
    }
    let Some(to) = tracked.get(branch) else {
        return Err(GitError::NoSuchBranch { vm: vm.clone(), branch: branch.to_owned() });
    };
    between(Stage::new(layout, repository)?, repository, to.clone())
}

/// Compares what is in a guest's folder at this moment, committed or not, with the same. It stays in the stage.
pub async fn working(
    guests: &Guests<'_>,
    repository: &Repository,
    vm: &VmName,
    request: Request<'_>,
) -> Result<Difference, GitError> {
    let arrived = fetch::arrive(guests, repository, vm, request, true).await?;
    let Some(to) = arrived.own("working").map(str::to_owned) else {
        return Err(GitError::Ended { vm: vm.clone() });
    };
    let repository = repository.clone();
    blocking(vm, move || between(arrived.stage, &repository, to)).await
}

fn between(stage: Stage, repository: &Repository, to: String) -> Result<Difference, GitError> {
    let from = report::base(&stage, repository.head()?.as_deref(), &to)?;
    Ok(Difference { stage, from, to })
}

impl Difference {
    /// Passes the text on as it comes, until `take` wants no more. Nothing in it is filtered.
    pub fn pour(&self, look: Look, take: impl FnMut(&[u8]) -> bool) -> Result<(), GitError> {
        let form = match look.form {
            Form::Patch => "--patch",
            Form::Stat => "--stat",
            Form::Names => "--name-status",
        };
        let colour = if look.colour { "--color=always" } else { "--color=never" };
        Ok(pipe::pour(&mut self.git(&["--find-renames", form, colour])?, LIMIT, take)?)
    }

    /// Returns which files are changed.
    pub fn changed(&self) -> Result<Changed, GitError> {
        let mut reader = Reader::default();
        let mut git = self.git(&["--no-renames", "--raw", "--no-abbrev", "--numstat", "-z"])?;
        pipe::pour(&mut git, LIMIT, |bytes| {
            reader.take(bytes);
            true
        })?;
        Ok(reader.done())
    }

    fn git(&self, how: &[&str]) -> Result<Command, GitError> {
        let mut git = self.stage.git()?;
        git.args(["diff", "--no-ext-diff", "--no-textconv", "--submodule=short", "--no-relative"]);
        git.args(how).args([&self.from, &self.to, "--"]);
        Ok(git)
    }
}

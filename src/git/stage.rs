//! A repository for the moment, where git talks to a guest. It has no configuration and no hooks but git's own
//! defaults, sees the objects of the user's repository, and goes with all that arrived in it.
//!
//! What arrives has refs of two sorts: `refs/guest/`, the guest's branches and as `HEAD` what it has checked out, and
//! `refs/own/`, what the script in the guest has made for this one time.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::git::command::{self, ask};
use crate::git::error::GitError;
use crate::git::repository::Repository;
use crate::host::files::{self, failed};
use crate::host::layout::Layout;
use crate::host::process;
use crate::host::staging::{Staged, Staging};

/// The largest list of where a history ends, in bytes.
const MAX_SHALLOW: u64 = 16 << 20;

/// A repository that is deleted when it is dropped.
#[derive(Debug)]
pub struct Stage {
    dir: Staged,
}

/// A ref that has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ref {
    /// Its name below `refs/`.
    pub name: String,
    /// Its commit.
    pub oid: String,
}

/// What has arrived.
#[derive(Debug, Default)]
pub struct Refs {
    /// Refs of commits.
    pub commits: Vec<Ref>,
    /// The names of those that are of something else.
    pub others: Vec<String>,
}

impl Stage {
    /// Makes one beside the VMs, that sees what a repository has.
    pub fn new(layout: &Layout, repository: &Repository) -> Result<Self, GitError> {
        let dir = Staging::enter(layout)?.new_dir()?;
        let stage = Self { dir };
        let format = format!("--object-format={}", repository.format);
        ask(&mut stage.git()?, ["init", "--quiet", "--bare", "--template=", &format])?;
        // Made by us a moment ago, for nobody else.
        let info = stage.path().join("objects/info");
        fs::create_dir_all(&info).map_err(failed("create", &info))?;
        let alternates = format!("{}\n", repository.objects.display());
        files::write_new(&info.join("alternates"), alternates.as_bytes())?;
        if repository.shallow.exists() {
            let ends = files::read_bounded(&repository.shallow, MAX_SHALLOW)?;
            files::write_new(&stage.path().join("shallow"), &ends)?;
        }
        Ok(stage)
    }

    /// Returns where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Returns git for it.
    pub fn git(&self) -> Result<Command, GitError> {
        command::apart(self.path())
    }

    /// Returns the git that fetches from a guest, and where it goes.
    pub fn fetching(&self, token: &str) -> Result<Command, GitError> {
        let mut git = self.git()?;
        command::allow(&mut git, "fd");
        git.args(["fetch", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head", "--no-progress"]);
        git.args(["--no-auto-maintenance", command::PEER]);
        // A branch of this name would be what the guest has checked out.
        git.args(["+refs/heads/*:refs/guest/*", "^refs/heads/HEAD", "^refs/heads/HEAD/*"]);
        git.arg(format!("+refs/ai-vm/{token}/*:refs/own/*"));
        Ok(command::talking(&git))
    }

    /// Returns the git that pushes a commit to a guest as a branch.
    pub fn pushing(&self, oid: &str, branch: &str, force: bool) -> Result<Command, GitError> {
        let mut git = self.git()?;
        command::allow(&mut git, "fd");
        git.args(["push", "--no-verify", "--recurse-submodules=no", "--no-follow-tags", "--no-signed"]);
        git.args(["--no-progress", command::PEER]);
        git.arg(format!("{}{oid}:refs/heads/{branch}", if force { "+" } else { "" }));
        Ok(command::talking(&git))
    }

    /// Returns the refs that have arrived; more than so many are an error.
    pub fn refs(&self, limit: usize) -> Result<Refs, GitError> {
        let count = format!("--count={}", limit + 1);
        let args = ["for-each-ref", &count, "--format=%(objectname) %(objecttype) %(refname)"];
        let said = ask(&mut self.git()?, args)?;
        // As much as is ever kept of what a program says may not have been all.
        if said.lines().count() > limit || said.len() as u64 >= process::MAX_OUTPUT - 1 {
            return Err(GitError::TooManyRefs { limit });
        }
        let mut refs = Refs::default();
        for line in said.lines() {
            let mut parts = line.splitn(3, ' ');
            let (Some(oid), Some(sort), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
                continue;
            };
            let name = name.strip_prefix("refs/").unwrap_or(name).to_owned();
            match sort {
                "commit" => refs.commits.push(Ref { name, oid: oid.to_owned() }),
                _ => refs.others.push(name),
            }
        }
        Ok(refs)
    }

    /// Sets, or with `None` removes, a ref.
    pub fn set(&self, name: &str, oid: Option<&str>) -> Result<(), GitError> {
        let name = format!("refs/{name}");
        let args = match oid {
            Some(oid) => vec!["update-ref", &name, oid],
            None => vec!["update-ref", "-d", &name],
        };
        ask(&mut self.git()?, args).map(drop)
    }
}

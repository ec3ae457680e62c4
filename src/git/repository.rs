//! The user's own repository.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::git::command::{self, LIMIT, ask};
use crate::git::error::GitError;
use crate::git::stage::Stage;
use crate::host::{process, umask};
use crate::vm::name::VmName;

/// A repository here, and the work tree in it that is meant, if there is one.
#[derive(Clone, Debug)]
pub struct Repository {
    /// Where git is to work: the top of the work tree, or the bare repository.
    pub dir: PathBuf,
    /// What all work trees have in common.
    common: PathBuf,
    /// Where its objects are.
    pub objects: PathBuf,
    /// Where its history ends, if not all of it is here.
    pub shallow: PathBuf,
    /// How objects are named: `sha1` or `sha256`.
    pub format: String,
}

/// What is to be pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The commit.
    pub oid: String,
    /// The branch that it is to be there.
    pub branch: String,
}

impl Repository {
    /// Finds the repository that a directory is in.
    pub fn find(dir: &Path) -> Result<Self, GitError> {
        let args = "rev-parse --path-format=absolute --show-object-format --git-common-dir --git-path objects \
                    --git-path shallow --is-bare-repository --absolute-git-dir";
        let said = ask(&mut command::ours(dir)?, args.split_whitespace()).map_err(|error| match error {
            GitError::Process(source) => GitError::NoRepository { dir: dir.to_owned(), source },
            other => other,
        })?;
        let lines: Vec<&str> = said.lines().collect();
        let [format, common, objects, shallow, bare, git_dir] = lines.as_slice() else {
            return Err(GitError::OddPath { dir: dir.to_owned() });
        };
        let top = match *bare {
            "true" => (*git_dir).to_owned(),
            _ => ask(&mut command::ours(dir)?, ["rev-parse", "--path-format=absolute", "--show-toplevel"])?,
        };
        if top.contains(['\n', '\u{fffd}']) || objects.contains('\u{fffd}') {
            return Err(GitError::OddPath { dir: dir.to_owned() });
        }
        Ok(Self {
            dir: top.into(),
            common: (*common).into(),
            objects: (*objects).into(),
            shallow: (*shallow).into(),
            format: (*format).to_owned(),
        })
    }

    /// Returns what it is called: as its folder is. A further work tree is called like the first one, so that both mean the
    /// same folder in a guest.
    pub fn name(&self) -> OsString {
        let of = |path: &Path| path.file_name().map_or_else(|| "repository".into(), OsStr::to_owned);
        let common = of(&self.common);
        match common.to_str() {
            Some(".git") => self.common.parent().map(of).unwrap_or(common),
            Some(bare) if self.dir == self.common => bare.strip_suffix(".git").unwrap_or(bare).into(),
            // A submodule's repository lies elsewhere.
            _ => of(&self.dir),
        }
    }

    /// Tells whether any of it lies in a folder.
    pub fn lies_in(&self, folder: &Path) -> bool {
        [&self.dir, &self.common, &self.objects].into_iter().any(|path| path.starts_with(folder))
    }

    /// Returns the commit that is checked out; none where there is no commit yet.
    pub fn head(&self) -> Result<Option<String>, GitError> {
        self.commit("HEAD")
    }

    /// Returns the commit that a name of the user's means.
    pub fn commit(&self, name: &str) -> Result<Option<String>, GitError> {
        let name = format!("{name}^{{commit}}");
        let args = ["rev-parse", "--verify", "--quiet", "--end-of-options", &name];
        Ok(ask(&mut command::ours(&self.dir)?, args).ok().filter(|oid| !oid.is_empty()))
    }

    /// Decides what is pushed: the branch that is checked out, or `SOURCE[:BRANCH]`.
    pub fn source(&self, asked: Option<&str>) -> Result<Source, GitError> {
        let (from, branch) = match asked.map(|asked| asked.split_once(':').unwrap_or((asked, ""))) {
            None | Some(("", "")) => ("HEAD", ""),
            Some(parts) => parts,
        };
        let Some(oid) = self.commit(from)? else {
            return Err(GitError::NoCommit { name: from.to_owned() });
        };
        let branch = match branch {
            "" => {
                let args = ["rev-parse", "--symbolic-full-name", "--end-of-options", from];
                let full = ask(&mut command::ours(&self.dir)?, args)?;
                let full = full.lines().last().unwrap_or_default().to_owned();
                let short = full.strip_prefix("refs/heads/").map(str::to_owned);
                short.ok_or_else(|| GitError::NoBranch { name: from.to_owned() })?
            }
            branch => branch.strip_prefix("refs/heads/").unwrap_or(branch).to_owned(),
        };
        let full = format!("refs/heads/{branch}");
        let is_name = ask(&mut command::ours(&self.dir)?, ["check-ref-format", &full]).is_ok();
        match is_name && !branch.starts_with('-') && branch != "HEAD" {
            true => Ok(Source { oid, branch }),
            false => Err(GitError::BranchName { name: branch }),
        }
    }

    /// Counts the files whose state is not committed. Where that cannot be told, nothing is.
    pub fn uncommitted(&self) -> usize {
        let said = command::ours(&self.dir).and_then(|mut git| {
            git.args(["status", "--porcelain", "-z", "--no-renames", "--ignore-submodules=all"]);
            Ok(process::output(&mut git, LIMIT)?)
        });
        let entries = |said: Vec<u8>| said.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()).count();
        said.map_or(0, entries)
    }

    /// Returns a setting of the user's; empty where there is none.
    pub fn setting(&self, key: &str) -> String {
        command::ours(&self.dir)
            .and_then(|mut git| ask(&mut git, ["config", "--get", key]))
            .unwrap_or_default()
    }

    /// Returns the refs that a VM has here, by their names below its own, with their commits.
    pub fn tracked(&self, vm: &VmName) -> Result<BTreeMap<String, String>, GitError> {
        let below = format!("{}/", namespace(vm));
        let mut git = command::ours(&self.dir)?;
        let said = ask(&mut git, ["for-each-ref", "--format=%(objectname) %(refname)", &below])?;
        let parts = said.lines().filter_map(|line| line.split_once(' '));
        let own =
            parts.filter_map(|(oid, name)| Some((name.strip_prefix(&below)?.to_owned(), oid.to_owned())));
        Ok(own.collect())
    }

    /// Takes what is in a stage into the refs of a VM, all of it or nothing. With `prune` refs go first that the VM has no
    /// more: in one transaction a new ref could not have the name of an old one's folder.
    pub fn take(&self, stage: &Stage, vm: &VmName, prune: bool) -> Result<(), GitError> {
        let space = namespace(vm);
        let mut git = command::ours(&self.dir)?;
        command::allow(&mut git, "file");
        git.args(["fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head"]);
        git.args(["--no-auto-maintenance", "--no-write-commit-graph"]);
        git.args(if prune { ["--no-atomic", "--prune"] } else { ["--atomic", "--no-prune"] });
        git.arg("--").arg(stage.path());
        git.arg(format!("+refs/guest/*:{space}/*"));
        // Others may be meant to read it: that is the user's umask, and git's own `core.sharedRepository`.
        umask::as_users(&mut git);
        process::output(&mut git, LIMIT).map_err(|source| GitError::Take { source, prune })?;
        Ok(())
    }
}

/// Returns where the refs of a VM are in a repository.
pub fn namespace(vm: &VmName) -> String {
    format!("refs/remotes/ai-vm-{vm}")
}

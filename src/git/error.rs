//! Why work did not go between a repository here and one in a guest.

use std::path::PathBuf;
use std::time::Duration;

use crate::diagnostic::{Diagnostic, Kind};
use crate::host::files::FileError;
use crate::host::lock::LockError;
use crate::host::program::ProcessError;
use crate::ssh::command::TooLong;
use crate::transfer::error::TransferError;
use crate::vm::name::VmName;

/// Why it ended without what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// Git could not be run, or failed in a repository here.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// There is no repository here.
    #[error("`{}` is not in a git repository that can be used", dir.display())]
    NoRepository {
        /// Where it was looked for.
        dir: PathBuf,
        /// What git says.
        #[source]
        source: ProcessError,
    },
    /// Its path cannot be told to git.
    #[error("the repository of `{}` lies at a path with a line break, or one that is not UTF-8", dir.display())]
    OddPath {
        /// Where it was looked for.
        dir: PathBuf,
    },
    /// A name of the user's means no commit.
    #[error("`{}` is no commit here", name.escape_debug())]
    NoCommit {
        /// The name.
        name: String,
    },
    /// What is to be pushed is no branch, and nothing says which it is to be.
    #[error("`{}` is no branch, so the branch in the VM needs a name", name.escape_debug())]
    NoBranch {
        /// What was to be pushed.
        name: String,
    },
    /// No branch can have this name.
    #[error("`{}` is not a name for a branch", name.escape_debug())]
    BranchName {
        /// The name.
        name: String,
    },
    /// Nothing of a VM's has been fetched.
    #[error("nothing of `{vm}` has been fetched into this repository")]
    NotFetched {
        /// The VM.
        vm: VmName,
    },
    /// A VM has no such branch, as far as was fetched.
    #[error("`{vm}` has no branch `{}`, as far as it was fetched", branch.escape_debug())]
    NoSuchBranch {
        /// The VM.
        vm: VmName,
        /// The branch.
        branch: String,
    },
    /// The guest cannot be reached, or the connection broke.
    #[error(transparent)]
    Transfer(Box<TransferError>),
    /// It cannot be asked of the guest.
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// A place for what arrives cannot be made.
    #[error(transparent)]
    File(#[from] FileError),
    /// The same, because somebody holds it.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The script in the guest says why.
    #[error("{vm}: {reason}{}", after_colon(said))]
    There {
        /// The VM.
        vm: VmName,
        /// What its end means.
        reason: &'static str,
        /// What can be done.
        hint: Option<String>,
        /// What was said there.
        said: String,
    },
    /// Git here, or at the other end, says no.
    #[error("{vm}: {}{}", refusal.text(), after_colon(said))]
    Refused {
        /// The VM.
        vm: VmName,
        /// Which no that is.
        refusal: Refusal,
        /// What git said.
        said: String,
    },
    /// More than is taken.
    #[error("{vm}: the VM sent more than {limit} bytes, and nothing of it was kept")]
    TooMuch {
        /// The VM.
        vm: VmName,
        /// How many are taken.
        limit: u64,
    },
    /// More than is taken, before anything was asked for.
    #[error("{vm}: what the VM tells about its refs is more than {limit} bytes long")]
    TooMuchAboutRefs {
        /// The VM.
        vm: VmName,
        /// How many are taken.
        limit: u64,
    },
    /// More branches than are looked at.
    #[error("the VM has more than {limit} branches")]
    TooManyRefs {
        /// How many are taken.
        limit: usize,
    },
    /// It took too long.
    #[error("{vm}: not done within {} s", limit.as_secs())]
    Timeout {
        /// The VM.
        vm: VmName,
        /// The time there was.
        limit: Duration,
    },
    /// It ended in a way that says nothing.
    #[error("{vm}: git ended without a word")]
    Ended {
        /// The VM.
        vm: VmName,
    },
    /// What arrived was good and could not be taken.
    #[error("what was fetched cannot be taken into this repository")]
    Take {
        /// What git says.
        #[source]
        source: ProcessError,
        /// Whether refs that the VM has no more were to go.
        prune: bool,
    },
}

/// A no that means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The branch there has commits that are not here.
    Behind,
    /// The folder there has changes that are not committed.
    Dirty,
    /// An object is not as git makes them.
    Malformed,
    /// Some other.
    Other,
}

impl Refusal {
    fn of(said: &str) -> Self {
        const SIGNS: [(&str, Refusal); 9] = [
            ("non-fast-forward", Refusal::Behind),
            ("fetch first", Refusal::Behind),
            ("unstaged changes", Refusal::Dirty),
            ("staged changes", Refusal::Dirty),
            ("Could not update working tree", Refusal::Dirty),
            ("Working directory has", Refusal::Dirty),
            ("fsck error", Refusal::Malformed),
            ("error in object", Refusal::Malformed),
            ("error in tree", Refusal::Malformed),
        ];
        SIGNS.into_iter().find(|(sign, _)| said.contains(sign)).map_or(Self::Other, |(_, refusal)| refusal)
    }

    const fn text(self) -> &'static str {
        match self {
            Self::Behind => "the branch there has commits that yours does not have",
            Self::Dirty => "the folder there has changes that are not committed",
            Self::Malformed => "the VM sent an object that is not as git makes them; nothing of it was kept",
            Self::Other => "git did not succeed",
        }
    }
}

fn after_colon(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

impl From<TransferError> for GitError {
    fn from(error: TransferError) -> Self {
        Self::Transfer(Box::new(error))
    }
}

impl GitError {
    /// Says which no it is that was said.
    pub(super) fn refused(vm: VmName, said: &str) -> Self {
        let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let refusal = Refusal::of(said);
        // The beginning says more than git's advice at the end.
        let said = lines.get(..lines.len().min(6)).unwrap_or_default().join("; ");
        let said = said.chars().take(1500).collect();
        Self::Refused { vm, refusal, said }
    }
}

impl Diagnostic for GitError {
    fn kind(&self) -> Kind {
        match self {
            Self::Process(error) => error.kind(),
            Self::Transfer(error) => error.kind(),
            Self::TooLong(error) => error.kind(),
            Self::File(error) => error.kind(),
            Self::Lock(error) => error.kind(),
            Self::NoRepository { .. }
            | Self::NoCommit { .. }
            | Self::NotFetched { .. }
            | Self::NoSuchBranch { .. } => Kind::NotFound,
            Self::OddPath { .. } | Self::NoBranch { .. } | Self::BranchName { .. } => Kind::Usage,
            Self::Refused { refusal: Refusal::Behind | Refusal::Dirty, .. } => Kind::Conflict,
            Self::Timeout { .. } => Kind::Timeout,
            Self::There { .. }
            | Self::Refused { .. }
            | Self::TooMuch { .. }
            | Self::TooMuchAboutRefs { .. }
            | Self::TooManyRefs { .. }
            | Self::Ended { .. }
            | Self::Take { .. } => Kind::Failed,
        }
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::Transfer(error) => error.exit_code(),
            other => other.kind().exit_code(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Process(error) => error.hints(),
            Self::Transfer(error) => error.hints(),
            Self::TooLong(error) => error.hints(),
            Self::File(error) => error.hints(),
            Self::Lock(error) => error.hints(),
            Self::NoRepository { .. } => vec!["go into the repository that is meant".to_owned()],
            Self::NoCommit { .. } => vec!["commit something first: `git commit`".to_owned()],
            Self::NoBranch { .. } => vec!["say which it is to be: `--branch HEAD:main`".to_owned()],
            Self::NotFetched { vm } => vec![format!("fetch it first: `ai-vm fetch {vm}`")],
            Self::NoSuchBranch { vm, .. } => {
                vec![format!("see what there is: `git branch --remotes --list 'ai-vm-{vm}/*'`")]
            }
            Self::There { hint, .. } => hint.iter().cloned().collect(),
            Self::Refused { vm, refusal: Refusal::Behind, .. } => vec![
                format!("fetch and merge them: `ai-vm fetch {vm}`"),
                "push under another name with `--branch HEAD:NAME`, or replace them with `--force`".to_owned(),
            ],
            Self::Refused { vm, refusal: Refusal::Dirty, .. } => vec![
                format!("look at them: `ai-vm diff {vm} --working`"),
                "commit them there, push under another name with `--branch HEAD:NAME`, or replace them with `--force`"
                    .to_owned(),
            ],
            Self::TooMuch { .. } => vec!["take more with `--max-size 20gb`".to_owned()],
            Self::Timeout { .. } => vec!["wait longer with `--max-time 1h`".to_owned()],
            Self::Take { prune: false, .. } => {
                vec!["where branches there have new names that clash with old ones: `--prune`".to_owned()]
            }
            _ => Vec::new(),
        }
    }
}

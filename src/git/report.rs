//! What has come from a guest, as a git here sees it: commits, and files that deserve a look. Nothing in it is filtered.

use serde::Serialize;

use crate::git::command::{LIMIT, ask};
use crate::git::error::GitError;
use crate::git::fields::Fields;
use crate::git::risk;
use crate::git::stage::{Ref, Stage};
use crate::host::pipe;

/// How many branches are looked at closely.
const MAX_BRANCHES: usize = 100;

/// How many commits of a branch are told by their subject.
const MAX_SUBJECTS: usize = 20;

/// How many files of a branch are told.
const MAX_RISKS: usize = 100;

/// What has come. Keys are only ever added.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// How many commits came that were nowhere in the repository here.
    pub new_commits: u64,
    /// The branches, the one that is checked out first, under the name `HEAD`.
    pub branches: Vec<Branch>,
    /// How many more there are, which nobody has looked at.
    pub more_branches: usize,
    /// Names of branches that are not taken, because they are none.
    pub refused: Vec<String>,
}

/// One branch.
#[derive(Clone, Debug, Serialize)]
pub struct Branch {
    /// Its name in the guest, or `HEAD` for what is checked out there.
    pub name: String,
    /// Its ref here.
    pub reference: String,
    /// Its commit.
    pub oid: String,
    /// Whether it is as it was fetched the last time.
    pub unchanged: bool,
    /// Whether commits are gone from it that were fetched the last time.
    pub rewritten: bool,
    /// How many of its commits were nowhere in the repository here.
    pub new_commits: u64,
    /// How many of its commits are not in what is checked out here.
    pub ahead: u64,
    /// The latest of those.
    pub commits: Vec<Commit>,
    /// Files that deserve a look, of those that differ from where it parted from what is checked out here.
    pub risky: Vec<Risky>,
    /// How many more there are.
    pub more_risky: u64,
}

/// A commit.
#[derive(Clone, Debug, Serialize)]
pub struct Commit {
    /// Its name.
    pub oid: String,
    /// Its first line.
    pub subject: String,
}

/// A file that deserves a look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Risky {
    /// Its path; bytes that are not UTF-8 are replaced.
    pub path: String,
    /// `added`, `changed` or `removed`.
    pub change: &'static str,
    /// Why.
    pub why: &'static str,
}

/// What is compared with.
pub struct Since<'a> {
    /// What is checked out here.
    pub head: Option<&'a str>,
    /// The refs of the VM before, by their names below its own.
    pub tracked: &'a std::collections::BTreeMap<String, String>,
    /// Where these are.
    pub namespace: &'a str,
}

/// Looks at the branches that are in a stage.
pub fn look(stage: &Stage, refs: &[Ref], since: &Since<'_>) -> Result<Report, GitError> {
    let own = |one: &Ref| Some((one.name.strip_prefix("guest/")?.to_owned(), one.oid.clone()));
    let mut branches: Vec<(String, String)> = refs.iter().filter_map(own).collect();
    branches.sort_by_key(|(name, _)| (name != "HEAD", name.clone()));
    let more_branches = branches.len().saturating_sub(MAX_BRANCHES);
    branches.truncate(MAX_BRANCHES);
    let branches = branches.into_iter().map(|(name, oid)| branch(stage, name, oid, since));
    let new = ["rev-list", "--count", "--glob=refs/guest", "--not", "--alternate-refs"];
    Ok(Report {
        new_commits: number(&ask(&mut stage.git()?, new)?),
        branches: branches.collect::<Result<_, _>>()?,
        more_branches,
        refused: Vec::new(),
    })
}

fn number(said: &str) -> u64 {
    said.trim().parse().unwrap_or(0)
}

fn branch(stage: &Stage, name: String, oid: String, since: &Since<'_>) -> Result<Branch, GitError> {
    let before = since.tracked.get(&name);
    let new = ["rev-list", "--count", &oid, "--not", "--alternate-refs"];
    let not_here = since.head.map(|head| format!("^{head}"));
    let ahead = ["rev-list", "--count", &oid].into_iter().chain(not_here.as_deref());
    let count = format!("--max-count={MAX_SUBJECTS}");
    let log = ["log", "--no-show-signature", "--no-decorate", "--format=%H %s", &count, &oid].into_iter();
    let log = ask(&mut stage.git()?, log.chain(not_here.as_deref()).chain(["--"]))?;
    let commits = log.lines().filter_map(|line| line.split_once(' '));
    let commits =
        commits.map(|(oid, subject)| Commit { oid: oid.to_owned(), subject: subject.to_owned() }).collect();
    let base = base(stage, since.head, &oid)?;
    let (risky, more_risky) = risky(stage, &base, &oid)?;
    let gone = |before: &String| {
        // What was fetched may be gone from here as well.
        let said =
            ask(&mut stage.git()?, ["rev-list", "--count", "--max-count=1", before, &format!("^{oid}")]);
        Ok::<_, GitError>(said.is_ok_and(|said| said.trim() != "0"))
    };
    Ok(Branch {
        reference: format!("{}/{name}", since.namespace),
        unchanged: before == Some(&oid),
        rewritten: before.map(gone).transpose()?.unwrap_or(false),
        new_commits: number(&ask(&mut stage.git()?, new)?),
        ahead: number(&ask(&mut stage.git()?, ahead)?),
        commits,
        risky,
        more_risky,
        name,
        oid,
    })
}

/// Returns what a commit is compared with: where it parted from ours, or nothing at all where it never did.
pub fn base(stage: &Stage, head: Option<&str>, oid: &str) -> Result<String, GitError> {
    if let Some(head) = head
        && let Ok(base) = ask(&mut stage.git()?, ["merge-base", head, oid])
        && let Some(base) = base.lines().next()
    {
        return Ok(base.to_owned());
    }
    ask(&mut stage.git()?, ["hash-object", "-t", "tree", "/dev/null"])
}

/// Returns the files that deserve a look, and how many more there are.
fn risky(stage: &Stage, base: &str, oid: &str) -> Result<(Vec<Risky>, u64), GitError> {
    let mut git = stage.git()?;
    git.args(["diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", "--no-ext-diff", base, oid]);
    let mut changes = Changes::default();
    pipe::pour(&mut git, LIMIT, |bytes| changes.take(bytes))?;
    Ok((changes.risky, changes.more))
}

/// Reads `:MODE MODE OID OID STATUS NUL PATH NUL ...` (`git help diff`, "raw output format"), however long that is.
#[derive(Default)]
struct Changes {
    fields: Fields,
    about: Option<String>,
    risky: Vec<Risky>,
    more: u64,
}

impl Changes {
    fn take(&mut self, bytes: &[u8]) -> bool {
        let mut fields = std::mem::take(&mut self.fields);
        fields.take(bytes, |field| match self.about.take() {
            None => self.about = Some(String::from_utf8_lossy(field).into_owned()),
            Some(about) => self.file(&about, field),
        });
        self.fields = fields;
        true
    }

    fn file(&mut self, about: &str, path: &[u8]) {
        let (mode, change) = change(about);
        let Some(why) = risk::of(path, mode) else { return };
        if self.risky.len() == MAX_RISKS {
            self.more += 1;
            return;
        }
        self.risky.push(Risky { path: String::from_utf8_lossy(path).into_owned(), change, why });
    }
}

/// Reads `:MODE MODE OID OID STATUS`: the mode that a file has now, and in a word what became of it.
pub fn change(about: &str) -> (&str, &'static str) {
    let mut fields = about.trim_start_matches(':').split(' ').skip(1);
    let (mode, status) = (fields.next().unwrap_or_default(), fields.nth(2).unwrap_or_default());
    let change = match status.get(..1) {
        Some("A") => "added",
        Some("D") => "removed",
        _ => "changed",
    };
    (mode, change)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read_in_whatever_pieces_they_come() {
        let raw =
            b":000000 100644 0 1 A\0.envrc\0:100644 100644 1 2 M\0src/a\nb\0:100644 000000 1 0 D\0Makefile\0\
                    :000000 120000 0 1 A\0\xff\0";
        for size in 1..=raw.len() {
            let mut changes = Changes::default();
            assert!(raw.chunks(size).all(|chunk| changes.take(chunk)));
            let told: Vec<_> = changes.risky.iter().map(|one| (one.path.as_str(), one.change)).collect();
            assert_eq!(told, [(".envrc", "added"), ("Makefile", "removed"), ("\u{fffd}", "added")], "{size}");
        }
        let mut many = Changes::default();
        for _ in 0..MAX_RISKS + 7 {
            many.take(b":000000 100644 0 1 A\0.envrc\0");
        }
        assert_eq!((many.risky.len(), many.more), (MAX_RISKS, 7));
    }
}

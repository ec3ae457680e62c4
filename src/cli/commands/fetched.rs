//! How what was fetched of a VM is told to people.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write;

use crate::git::report::{Branch, Report, Risky};
use crate::ssh::command::quoted;
use crate::ui::filter;
use crate::vm::name::VmName;

/// How many branches are told.
const BRANCHES: usize = 20;

/// How many commits of a branch are told.
const COMMITS: usize = 10;

/// How many files are told.
const FILES: usize = 40;

/// Says on one line what has come.
pub fn words(report: &Report, folder: &str) -> String {
    if report.branches.is_empty() {
        return format!("nothing is committed in {folder}");
    }
    let changed = report.branches.iter().filter(|branch| !branch.unchanged).count();
    match (report.new_commits, changed) {
        (_, 0) => format!("nothing new in {folder}"),
        (0, _) => format!("fetched from {folder}: no commit that was not here already"),
        (1, _) => format!("fetched from {folder}: 1 new commit"),
        (new, _) => format!("fetched from {folder}: {new} new commits"),
    }
}

/// Says all of it, filtered; nothing where there is nothing to be said.
pub fn text(vm: &VmName, report: &Report) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    for name in report.refused.iter().take(BRANCHES) {
        let _ = writeln!(text, "  {}: refused, it is no commit", filter::one_line(name));
    }
    let told: Vec<&Branch> = report.branches.iter().filter(|branch| branch.ahead > 0).collect();
    for branch in told.iter().take(BRANCHES) {
        one(&mut text, vm, branch, told.first().map(|first| first.oid.as_str()));
    }
    let more = told.len().saturating_sub(BRANCHES) + report.more_branches;
    if more > 0 {
        let _ = writeln!(text, "  and {more} more branches");
    }
    risky(&mut text, report);
    if let Some(first) = told.first()
        && let Some(name) = reference(vm, &first.name)
    {
        let which =
            if first.name == "HEAD" { String::new() } else { format!(" --branch {}", word(&first.name)) };
        let _ = writeln!(text, "look at it:  ai-vm diff {vm}{which}   or  git log -p HEAD..{name}");
        let _ = writeln!(text, "take it:     git merge {name}");
    }
    text
}

/// One branch with its commits; one that is where the first is needs no second list.
fn one(text: &mut String, vm: &VmName, branch: &Branch, first: Option<&str>) {
    let name = match branch.name.as_str() {
        "HEAD" => format!("ai-vm-{vm}/HEAD, which is checked out there"),
        name => format!("ai-vm-{vm}/{}", filter::one_line(name)),
    };
    let commits = if branch.ahead == 1 { "1 commit" } else { &format!("{} commits", branch.ahead) };
    let rewritten = if branch.rewritten { "; commits that were fetched before are gone from it" } else { "" };
    let _ = writeln!(text, "{name}: {commits} more than HEAD{rewritten}");
    if branch.name != "HEAD" && first == Some(branch.oid.as_str()) {
        return;
    }
    for commit in branch.commits.iter().take(COMMITS) {
        let oid = commit.oid.get(..10).unwrap_or_default();
        let _ = writeln!(text, "  {oid} {}", filter::one_line(&commit.subject));
    }
    let more = branch.ahead.saturating_sub(COMMITS as u64);
    if more > 0 {
        let _ = writeln!(text, "  and {more} more");
    }
}

/// The files of all branches, each once.
fn risky(text: &mut String, report: &Report) {
    let mut files: BTreeMap<&str, &Risky> = BTreeMap::new();
    for file in report.branches.iter().flat_map(|branch| &branch.risky) {
        files.insert(&file.path, file);
    }
    if files.is_empty() {
        return;
    }
    let _ = writeln!(text, "look at these before anything is merged, they act by being there:");
    for file in files.values().take(FILES) {
        let Risky { path, change, why } = file;
        let _ = writeln!(text, "  {change:<8}{}: {why}", filter::one_line(path));
    }
    let more = files.len().saturating_sub(FILES) as u64;
    let more = more + report.branches.iter().map(|branch| branch.more_risky).max().unwrap_or(0);
    if more > 0 {
        let _ = writeln!(text, "  and {more} more");
    }
}

/// Returns a branch as a word for a shell; none where it cannot be shown as it is.
fn reference(vm: &VmName, name: &str) -> Option<String> {
    let full = format!("ai-vm-{vm}/{name}");
    (filter::one_line(&full) == full).then(|| word(&full))
}

fn word(text: &str) -> String {
    String::from_utf8_lossy(&quoted(OsStr::new(text))).into_owned()
}

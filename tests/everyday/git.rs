//! Work goes into a VM and comes back by git, against a real SSH server with the real git on both sides.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use proptest::prelude::*;

use crate::home::{Ran, finish};
use crate::sshd::Guest;

const PATIENCE: Duration = Duration::from_secs(120);

/// A repository here, `host/app`, and a VM whose home is the test's directory: what is pushed lies in `app`.
pub struct Work {
    pub guest: Guest,
    pub here: PathBuf,
    pub there: PathBuf,
}

impl Work {
    pub fn new() -> Self {
        let guest = Guest::serve("");
        let (here, there) = (guest.home.dir().join("host/app"), guest.home.dir().join("app"));
        fs::create_dir_all(&here).unwrap();
        let work = Self { guest, here, there };
        git(&work.here, &["init", "--quiet", "--initial-branch", "main"]);
        work.commit_here("README", "first\n");
        work
    }

    /// A VM with a repository that was pushed there.
    pub fn pushed() -> Self {
        let work = Self::new();
        work.ok(&["push", "vm"]);
        work
    }

    pub fn commit_here(&self, file: &str, text: &str) {
        commit(&self.here, file, text);
    }

    pub fn commit_there(&self, file: &str, text: &str) {
        commit(&self.there, file, text);
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.guest.home.command(args);
        command.current_dir(&self.here);
        // The VM has the same home; what git would be told there is not to be told here.
        command.env("GIT_CONFIG_GLOBAL", self.guest.home.dir().join("host/gitconfig"));
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        finish(self.command(args), PATIENCE)
    }

    pub fn ok(&self, args: &[&str]) -> Ran {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "ai-vm {args:?}: {}{}", ran.out, ran.err);
        ran
    }

    /// Every ref here with its commit.
    pub fn refs(&self) -> String {
        git(&self.here, &["for-each-ref", "--format=%(refname) %(objectname)"])
    }
}

/// Runs git as nobody in particular, and returns what it says.
pub fn git(dir: &Path, args: &[&str]) -> String {
    let output = plain_git(dir).args(args).output().unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

pub fn plain_git(dir: &Path) -> Command {
    let mut command = Command::new("git");
    command.current_dir(dir).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "tester").env(format!("GIT_{who}_EMAIL"), "tester@localhost");
    }
    command
}

pub fn commit(dir: &Path, file: &str, text: &str) {
    let path = dir.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    git(dir, &["add", "--all"]);
    git(dir, &["commit", "--quiet", "--message", &format!("{file} is written")]);
}

#[test]
fn there_and_back_again() {
    let work = Work::new();
    fs::write(work.here.join("README"), "not committed\n").unwrap();
    let ran = work.ok(&["push", "vm"]);
    assert!(ran.err.contains("1 file here has changes that are not committed"), "{}", ran.err);
    assert!(ran.err.contains("vm: `main` (") && ran.err.contains("is checked out in ~/app"), "{}", ran.err);
    git(&work.here, &["checkout", "--quiet", "README"]);
    assert_eq!(fs::read_to_string(work.there.join("README")).unwrap(), "first\n");
    assert_eq!(git(&work.there, &["status", "--porcelain", "--branch"]), "## main");
    // Again, and what is new.
    work.ok(&["push", "vm"]);
    work.commit_here("second", "2");
    work.ok(&["push", "vm"]);
    assert_eq!(fs::read_to_string(work.there.join("second")).unwrap(), "2");

    assert!(work.ok(&["fetch", "vm"]).err.contains("vm: fetched from ~/app: no commit that was not here"));
    let before = (work.refs(), git(&work.here, &["status", "--porcelain"]));
    work.commit_there("src/lib.rs", "work");
    work.commit_there(".claude/settings.json", "{}");
    git(&work.there, &["branch", "idea"]);
    let ran = work.ok(&["fetch", "vm"]);
    assert!(ran.err.contains("vm: fetched from ~/app: 2 new commits"), "{}", ran.err);
    for part in [
        "ai-vm-vm/HEAD, which is checked out there: 2 commits more than HEAD\n",
        " .claude/settings.json is written\n",
        "ai-vm-vm/idea: 2 commits more than HEAD\n",
        "added   .claude/settings.json: configures an agent",
        "look at it:  ai-vm diff vm   or  git log -p HEAD..ai-vm-vm/HEAD\n",
        "take it:     git merge ai-vm-vm/HEAD\n",
    ] {
        assert!(ran.out.contains(part), "{part:?} is not in {}", ran.out);
    }
    // Nothing here has changed but refs of the VM's own.
    let others =
        |refs: &str| refs.lines().filter(|line| !line.contains("ai-vm-vm/")).collect::<Vec<_>>().join("\n");
    assert_eq!(
        (others(&work.refs()), git(&work.here, &["status", "--porcelain"])),
        (others(&before.0), before.1)
    );
    assert!(!work.here.join(".git/FETCH_HEAD").exists());
    assert_eq!(git(&work.here, &["rev-parse", "ai-vm-vm"]), git(&work.there, &["rev-parse", "HEAD"]));
    assert!(work.ok(&["fetch", "vm"]).err.contains("nothing new in ~/app"));
    // In the guest nothing is left of it either.
    assert_eq!(git(&work.there, &["for-each-ref", "refs/ai-vm"]), "");

    let diff = work.ok(&["diff", "vm"]).out;
    assert!(diff.contains("+++ b/src/lib.rs\n") && diff.contains("\n+work\n"), "{diff}");
    assert_eq!(work.ok(&["diff", "vm", "--names"]).out, "A\t.claude/settings.json\nA\tsrc/lib.rs\n");
    git(&work.here, &["merge", "--quiet", "ai-vm-vm/HEAD"]);
    assert!(work.here.join("src/lib.rs").exists());
    assert_eq!(work.ok(&["diff", "vm"]).out, "");
}

#[test]
fn what_is_not_committed_there_is_seen_and_not_kept() {
    let work = Work::pushed();
    let before = work.refs();
    fs::write(work.there.join("README"), "changed\n").unwrap();
    fs::write(work.there.join("new file"), "new\n").unwrap();
    fs::write(work.there.join(".gitignore"), "*.o\n").unwrap();
    fs::write(work.there.join("x.o"), "ignored\n").unwrap();
    git(&work.there, &["add", "README"]);
    let status = git(&work.there, &["status", "--porcelain"]);
    let ran = work.ok(&["diff", "vm", "--working"]);
    for part in ["-first\n+changed\n", "+++ b/new file", "+new\n"] {
        assert!(ran.out.contains(part), "{}", ran.out);
    }
    assert!(!ran.out.contains("x.o"), "{}", ran.out);
    assert_eq!((work.refs(), git(&work.there, &["status", "--porcelain"])), (before, status));
    assert_eq!(git(&work.there, &["for-each-ref", "refs/ai-vm"]), "");
    let patch = work.here.join("../patch");
    fs::write(&patch, &ran.out).unwrap();
    git(&work.here, &["apply", "--index", patch.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(work.here.join("new file")).unwrap(), "new\n");
}

#[test]
fn the_work_of_a_guest_is_not_replaced() {
    let work = Work::pushed();
    work.commit_there("theirs", "theirs");
    work.commit_here("ours", "ours");
    let theirs = git(&work.there, &["rev-parse", "HEAD"]);
    let ran = work.run(&["push", "vm"]);
    assert_eq!(ran.code, 4, "{}", ran.err);
    assert!(
        ran.err.contains("has commits that yours does not have") && ran.err.contains("ai-vm fetch vm"),
        "{}",
        ran.err
    );
    assert_eq!(git(&work.there, &["rev-parse", "HEAD"]), theirs);
    // Beside it.
    let ran = work.ok(&["push", "vm", "--branch", "HEAD:from-here"]);
    assert!(ran.err.contains("`ai-vm exec -C app vm -- git switch from-here`"), "{}", ran.err);
    assert_eq!(git(&work.there, &["rev-parse", "HEAD"]), theirs);
    // By force, and nothing is lost.
    fs::write(work.there.join("README"), "uncommitted\n").unwrap();
    fs::write(work.there.join("untracked"), "untracked\n").unwrap();
    work.ok(&["push", "vm", "--force"]);
    assert_eq!(git(&work.there, &["rev-parse", "HEAD"]), git(&work.here, &["rev-parse", "HEAD"]));
    assert_eq!(git(&work.there, &["status", "--porcelain"]), "");
    let kept = git(&work.there, &["for-each-ref", "--format=%(refname)", "refs/ai-vm-replaced"]);
    assert_eq!(git(&work.there, &["show", &format!("{kept}:README")]), "uncommitted");
    assert_eq!(git(&work.there, &["show", &format!("{kept}:untracked")]), "untracked");
    assert_eq!(git(&work.there, &["rev-parse", &format!("{kept}^")]), theirs);
}

#[test]
fn what_is_not_committed_there_stays_when_a_branch_would_move() {
    let work = Work::pushed();
    fs::write(work.there.join("README"), "uncommitted\n").unwrap();
    work.commit_here("README", "ours\n");
    let ran = work.run(&["push", "vm"]);
    assert_eq!(ran.code, 4, "{}", ran.err);
    assert!(
        ran.err.contains("changes that are not committed") && ran.err.contains("--working"),
        "{}",
        ran.err
    );
    assert_eq!(fs::read_to_string(work.there.join("README")).unwrap(), "uncommitted\n");
}

#[test]
fn what_cannot_be_is_said() {
    let work = Work::new();
    let ran = work.run(&["fetch", "vm"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("the folder is not there") && ran.err.contains("ai-vm push vm"), "{}", ran.err);
    fs::create_dir_all(work.there.join("something")).unwrap();
    let ran = work.run(&["push", "vm"]);
    assert!(ran.code == 1 && ran.err.contains("has files and is not a git repository"), "{}", ran.err);
    for (args, code, part) in [
        (&["push", "vm", "-b", "nowhere"][..], 3, "`nowhere` is no commit here"),
        (&["push", "vm", "-b", "HEAD:a..b"], 2, "`a..b` is not a name for a branch"),
        (&["push", "vm", "-b", "HEAD:-x"], 2, "`-x` is not a name for a branch"),
        (&["push", "vm", "-b", "HEAD^{tree}:x"], 3, "is no commit here"),
        (&["push", "nobody"], 3, "nobody"),
        (&["diff", "vm"], 3, "nothing of `vm` has been fetched"),
        (&["fetch", "vm", "--from", "README-not-there"], 1, "the folder is not there"),
        (&["fetch"], 2, "needs to know which VMs"),
    ] {
        let ran = work.run(args);
        assert!(ran.code == code && ran.err.contains(part), "{args:?}: {} {}", ran.code, ran.err);
    }
    git(&work.here, &["checkout", "--quiet", "--detach"]);
    let ran = work.run(&["push", "vm", "--to", "else"]);
    assert!(ran.code == 2 && ran.err.contains("--branch HEAD:main"), "{}", ran.err);
    work.ok(&["push", "vm", "--to", "else where/it is", "-b", "HEAD:main"]);
    assert!(work.guest.home.dir().join("else where/it is/README").exists());
    let mut outside = work.command(&["fetch", "vm"]);
    outside.current_dir(work.guest.home.dir());
    let ran = finish(outside, PATIENCE);
    assert!(ran.code == 3 && ran.err.contains("is not in a git repository"), "{}", ran.err);
    // The area where things arrive is empty again.
    let staging = work.guest.home.data().join("staging");
    assert_eq!(fs::read_dir(staging).unwrap().count(), 0);
}

#[test]
fn further_work_trees_and_bare_and_shallow_repositories_work_too() {
    let work = Work::new();
    work.commit_here("second", "2");
    git(&work.here, &["worktree", "add", "--quiet", "../feature", "-b", "feature"]);
    let mut push = work.command(&["push", "vm"]);
    push.current_dir(work.here.join("../feature"));
    let ran = finish(push, PATIENCE);
    assert!(ran.code == 0 && ran.err.contains("`feature`") && ran.err.contains("~/app"), "{}", ran.err);
    let url = format!("file://{}", work.here.display());
    git(&work.here, &["clone", "--quiet", "--depth", "1", &url, "../shallow"]);
    git(&work.here, &["clone", "--quiet", "--bare", &url, "../bare.git"]);
    git(
        &work.here,
        &["init", "--quiet", "--object-format", "sha256", "--initial-branch", "main", "../sha256"],
    );
    commit(&work.here.join("../sha256"), "README", "256");
    for (name, folder) in [("shallow", "shallow"), ("bare.git", "bare"), ("sha256", "sha256")] {
        let run = |args: &[&str]| {
            let mut command = work.command(args);
            command.current_dir(work.here.join("..").join(name));
            let ran = finish(command, PATIENCE);
            assert_eq!(ran.code, 0, "{name} {args:?}: {}", ran.err);
            ran
        };
        run(&["push", "vm"]);
        commit(&work.guest.home.dir().join(folder), "new", "new");
        assert!(run(&["fetch", "vm"]).err.contains("1 new commit"));
        assert!(run(&["diff", "vm"]).out.contains("+++ b/new"));
    }
}

#[test]
fn programs_are_told_by_json() {
    let work = Work::pushed();
    work.commit_there("Makefile", "all:\n");
    let rows: serde_json::Value = serde_json::from_str(&work.ok(&["fetch", "--all", "--json"]).out).unwrap();
    let branch = &rows[0]["detail"]["branches"][0];
    assert_eq!((&rows[0]["name"], &rows[0]["ok"]), (&"vm".into(), &true.into()));
    assert_eq!(
        (&branch["name"], &branch["new_commits"], &branch["ahead"]),
        (&"HEAD".into(), &1.into(), &1.into())
    );
    assert_eq!(branch["reference"], "refs/remotes/ai-vm-vm/HEAD");
    assert_eq!(
        (&branch["risky"][0]["path"], &branch["risky"][0]["change"]),
        (&"Makefile".into(), &"added".into())
    );
    let commit = git(&work.there, &["rev-parse", "HEAD"]);
    let base = git(&work.here, &["rev-parse", "HEAD"]);
    let diff: serde_json::Value = serde_json::from_str(&work.ok(&["diff", "vm", "--json"]).out).unwrap();
    assert_eq!(
        (&diff["name"], &diff["branch"], &diff["from"], &diff["to"]),
        (&"vm".into(), &"HEAD".into(), &base.into(), &commit.into())
    );
    assert_eq!(diff["files"].as_array().unwrap().len(), 1);
    let file = &diff["files"][0];
    assert_eq!(
        (&file["path"], &file["change"], &file["added"]),
        (&"Makefile".into(), &"added".into(), &1.into())
    );
    assert!(file["why"].is_string() && diff["added"] == 1 && diff["deleted"] == 0, "{diff}");
    // Also what is not committed, and what has no lines.
    fs::write(work.there.join("README"), "other\nlines\n").unwrap();
    fs::write(work.there.join("picture"), "\0\u{1b}[2J").unwrap();
    let ran = work.ok(&["diff", "vm", "--working", "--json"]);
    let diff: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let told: Vec<_> =
        diff["files"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect();
    assert_eq!(told, ["Makefile", "README", "picture"]);
    assert_eq!(
        (&diff["branch"], &diff["added"], &diff["deleted"]),
        (&serde_json::Value::Null, &3.into(), &1.into())
    );
    assert!(diff["files"][2]["added"].is_null() && ran.err.is_empty(), "{} {}", ran.out, ran.err);
    assert_eq!(work.run(&["diff", "vm", "--json", "--stat"]).code, 2);
}

#[test]
fn what_comes_is_as_open_as_the_rest_of_the_repository() {
    for (umask, shared, dirs, files) in
        [("022", "umask", 0o755, 0o044), ("077", "umask", 0o700, 0o000), ("077", "group", 0o770, 0o040)]
    {
        let work = Work::pushed();
        git(&work.here, &["config", "core.sharedRepository", shared]);
        work.commit_there("src/lib.rs", "work");
        let modes = || -> BTreeMap<PathBuf, u32> {
            crate::processes::modes(&work.here.join(".git")).into_iter().collect()
        };
        let before = modes();
        let fetch = work.command(&["fetch", "vm"]);
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\"")])
            .arg(fetch.get_program())
            .args(fetch.get_args());
        for (name, value) in fetch.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        shell.current_dir(&work.here);
        let ran = finish(shell, PATIENCE);
        assert_eq!(ran.code, 0, "{}", ran.err);
        let new: Vec<_> = modes().into_iter().filter(|(path, _)| !before.contains_key(path)).collect();
        assert!(
            new.iter().any(|(path, _)| path.is_dir()) && new.iter().any(|(path, _)| path.is_file()),
            "{new:?}"
        );
        for (path, mode) in &new {
            let (is, expected) = if path.is_dir() { (mode & 0o777, dirs) } else { (mode & 0o044, files) };
            assert_eq!(is, expected, "umask {umask}, {shared}: {path:?}");
        }
    }
}

#[test]
fn branches_that_clash_with_what_was_fetched_need_a_word() {
    let work = Work::pushed();
    git(&work.there, &["branch", "topic"]);
    work.ok(&["fetch", "vm"]);
    git(&work.there, &["branch", "--delete", "topic"]);
    git(&work.there, &["branch", "topic/more"]);
    let before = work.refs();
    let ran = work.run(&["fetch", "vm"]);
    assert!(ran.code == 1 && ran.err.contains("--prune"), "{}", ran.err);
    assert_eq!(work.refs(), before);
    work.ok(&["fetch", "vm", "--prune"]);
    assert!(work.refs().contains("ai-vm-vm/topic/more "));
    // What is gone there stays here unless it is asked for.
    git(&work.there, &["branch", "--delete", "topic/more"]);
    work.ok(&["fetch", "vm"]);
    assert!(work.refs().contains("ai-vm-vm/topic/more "));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Whatever a branch is called there, it arrives here below the VM's own name, and the commands that are shown mean it.
    #[test]
    fn whatever_a_branch_is_called(names in prop::collection::btree_set("[-a-zA-Z0-9;$()'\"`&|<>!#%,=+{}äß\u{202e}\u{200b}./]{1,24}", 1..12)) {
        let work = Work::pushed();
        let oid = git(&work.there, &["rev-parse", "HEAD"]);
        let mut made = 0;
        for name in &names {
            let mut update = plain_git(&work.there);
            update.args(["update-ref", &format!("refs/heads/{name}"), &oid]);
            made += usize::from(update.output().unwrap().status.success());
        }
        let others = |refs: &str| refs.lines().filter(|line| !line.starts_with("refs/remotes/ai-vm-vm/")).count();
        let before = others(&work.refs());
        let ran = work.ok(&["fetch", "vm"]);
        let refs = work.refs();
        prop_assert_eq!(others(&refs), before);
        // And main and HEAD.
        prop_assert!(refs.lines().count() - before <= made + 2, "{}", refs);
        for name in git(&work.there, &["for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads"]).lines() {
            let here = format!("refs/remotes/ai-vm-vm/{name} {oid}");
            prop_assert!(name == "HEAD" || refs.contains(&here), "{:?} is not in {}", name, refs);
        }
        let hidden = ['\u{202e}', '\u{200b}'];
        let is_hidden = ran.out.contains(hidden) || ran.err.contains(hidden);
        prop_assert!(!is_hidden, "{}{}", ran.out, ran.err);
    }
}

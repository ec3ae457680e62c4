//! A VM whose repository, or git, means harm: nothing here changes and nothing here runs, and it is told.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::git::{Work, commit, git, plain_git};
use crate::home::finish;

/// A program that leaves a trace when it is run by whomever.
fn canary(work: &Work, name: &str) -> PathBuf {
    let path = work.guest.home.dir().join(format!("canary-{name}"));
    let text = format!("#!/bin/sh\necho \"$0 $*\" >>'{}'\ncat\n", trace(work).display());
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path
}

fn trace(work: &Work) -> PathBuf {
    work.guest.home.dir().join("trace")
}

/// All that makes this user's git run something: by configuration, here and of the user, by attributes that ask for it, and
/// by hooks.
fn lay_traps(work: &Work) {
    let run = canary(work, "config");
    let run = run.display();
    let config = format!(
        "[core]\n fsmonitor = {run}\n pager = {run}\n editor = {run}\n sshCommand = {run}\n askPass = {run}\n \
         gitProxy = {run}\n hooksPath = {hooks}\n[diff]\n external = {run}\n[diff \"evil\"]\n textconv = {run}\n command = {run}\n\
         [filter \"evil\"]\n clean = {run}\n smudge = {run}\n process = {run}\n required = true\n\
         [merge \"evil\"]\n driver = {run}\n[credential]\n helper = !{run}\n[gpg]\n program = {run}\n\
         [log]\n showSignature = true\n[uploadpack]\n packObjectsHook = {run}\n[protocol]\n allow = always\n\
         [fetch]\n recurseSubmodules = true\n prune = true\n[submodule]\n recurse = true\n[gc]\n auto = 1\n autoDetach = false\n\
         [url \"ext::{run} \"]\n insteadOf = fd::\n insteadOf = /\n",
        hooks = work.guest.home.dir().join("host/hooks").display(),
    );
    // Of the user's own settings only what a fetch by itself does not run.
    let own: String = config
        .lines()
        .filter(|line| !line.contains("packObjectsHook"))
        .map(|line| format!("{line}\n"))
        .collect();
    fs::write(work.guest.home.dir().join("host/gitconfig"), own).unwrap();
    for hooks in [work.here.join(".git/hooks"), work.guest.home.dir().join("host/hooks")] {
        fs::create_dir_all(&hooks).unwrap();
        for hook in [
            "reference-transaction",
            "post-checkout",
            "post-merge",
            "pre-push",
            "post-index-change",
            "pre-auto-gc",
        ] {
            fs::copy(canary(work, "hook"), hooks.join(hook)).unwrap();
        }
    }
}

/// What of this repository a fetch may not change.
fn state(work: &Work) -> (String, String, Vec<(PathBuf, Vec<u8>)>) {
    let refs = work.refs();
    let refs = refs
        .lines()
        .filter(|line| !line.starts_with("refs/remotes/ai-vm-vm/"))
        .collect::<Vec<_>>()
        .join("\n");
    let mut files = Vec::new();
    files_below(&work.here, &mut files);
    (refs, git(&work.here, &["-c", "core.hooksPath=/dev/null", "status", "--porcelain", "--ignored"]), files)
}

/// Files with their content, but what git keeps of objects and of the VM's own refs.
fn files_below(dir: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let own = ["objects", "ai-vm-vm"].iter().any(|name| path.ends_with(name));
        if own
            || path.ends_with("refs/remotes")
            || path.ends_with("logs/refs")
            || path.ends_with(".git/index")
        {
            continue;
        }
        match path.is_dir() && !path.is_symlink() {
            true => files_below(&path, files),
            false => files.push((path.clone(), fs::read(&path).unwrap_or_default())),
        }
    }
    files.sort();
}

fn no_trace(work: &Work) {
    assert_eq!(fs::read_to_string(trace(work)).unwrap_or_default(), "", "something was run");
}

#[test]
fn what_the_guests_repository_asks_for_is_not_run_here() {
    let work = Work::pushed();
    // Its own configuration, hooks and attributes, and a commit that brings all of that along.
    let run = canary(&work, "guest");
    fs::write(work.there.join(".gitattributes"), "* diff=evil filter=evil merge=evil\n").unwrap();
    fs::write(
        work.there.join(".gitmodules"),
        "[submodule \"x\"]\n path = x\n url = ext::sh -c touch% /tmp/x\n",
    )
    .ok();
    fs::remove_file(work.there.join(".gitmodules")).unwrap();
    for file in [".claude/settings.json", ".envrc", "package.json", ".husky/pre-commit", ".vscode/tasks.json"]
    {
        let path = work.there.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "{}").unwrap();
    }
    std::os::unix::fs::symlink("/etc/passwd", work.there.join("innocent.txt")).unwrap();
    commit(&work.there, "README", "changed\n");
    for hook in ["pre-commit", "post-update", "reference-transaction", "post-receive"] {
        fs::copy(&run, work.there.join(".git/hooks").join(hook)).unwrap();
    }
    lay_traps(&work);
    // The hook of the guest's own runs in the guest, as it may. It is not to be taken for one here.
    fs::remove_file(work.there.join(".git/hooks/reference-transaction")).unwrap();
    let before = state(&work);
    let ran = work.ok(&["fetch", "vm"]);
    for part in [
        ".gitattributes: git or its hooks",
        ".envrc: runs when",
        "innocent.txt: a symbolic link",
        "package.json: runs",
    ] {
        assert!(ran.out.contains(part), "{part} is not in {}", ran.out);
    }
    work.ok(&["diff", "vm"]);
    work.ok(&["diff", "vm", "--working"]);
    work.ok(&["diff", "vm", "--stat"]);
    no_trace(&work);
    assert_eq!(state(&work), before);
}

#[test]
fn pushing_runs_nothing_here() {
    let work = Work::pushed();
    lay_traps(&work);
    // To ask what is not committed, git has the user's own monitor and filters to go by; what counts is what pushes.
    fs::write(
        work.guest.home.dir().join("host/gitconfig"),
        format!("[core]\n hooksPath = {}\n", work.guest.home.dir().join("host/hooks").display()),
    )
    .unwrap();
    work.commit_there("x", "x");
    git(&work.there, &["reset", "--quiet", "--hard", "HEAD^"]);
    let mut commit = plain_git(&work.here);
    commit.args([
        "-c",
        "core.hooksPath=/dev/null",
        "commit",
        "--quiet",
        "--allow-empty",
        "--message",
        "more",
    ]);
    assert!(commit.status().unwrap().success());
    work.ok(&["push", "vm"]);
    no_trace(&work);
}

/// Makes a tree in the guest with an entry that git itself does not make, and a commit of it on `main`.
fn commit_of(work: &Work, entries: &str) {
    let mut make = plain_git(&work.there);
    let mut make = make.args(["mktree"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    make.stdin.take().unwrap().write_all(entries.as_bytes()).unwrap();
    let tree = String::from_utf8(make.wait_with_output().unwrap().stdout).unwrap();
    let commit = git(&work.there, &["commit-tree", tree.trim(), "-p", "HEAD", "-m", "x"]);
    git(&work.there, &["update-ref", "refs/heads/main", &commit]);
}

#[test]
fn objects_that_would_do_harm_are_refused() {
    for evil in [".git", ".GIT", "git~1", ".g\u{200c}it", "..", "."] {
        let work = Work::pushed();
        let blob = git(&work.there, &["rev-parse", "HEAD:README"]);
        let inner = git(&work.there, &["rev-parse", "HEAD^{tree}"]);
        for entry in [format!("120000 blob {blob}\t{evil}\n"), format!("040000 tree {inner}\t{evil}\n")] {
            commit_of(&work, &entry);
            let before = (state(&work), work.refs());
            let ran = work.run(&["fetch", "vm"]);
            assert_eq!(ran.code, 1, "{evil:?} {entry:?}: {}{}", ran.out, ran.err);
            assert!(ran.err.contains("not as git makes them"), "{evil:?}: {}", ran.err);
            assert_eq!((state(&work), work.refs()), before);
            git(&work.there, &["update-ref", "refs/heads/main", "HEAD^"]);
        }
    }
    // A submodule that would be a command, or lie elsewhere.
    let work = Work::pushed();
    for evil in [
        "[submodule \"../../x\"]\n\tpath = x\n\turl = https://localhost/x\n",
        "[submodule \"x\"]\n\tpath = -x\n\turl = https://localhost/x\n",
        "[submodule \"x\"]\n\tpath = x\n\turl = -u./x\n",
    ] {
        commit(&work.there, ".gitmodules", evil);
        let ran = work.run(&["fetch", "vm"]);
        assert!(ran.code == 1 && ran.err.contains("gitmodules"), "{evil}: {}", ran.err);
        git(&work.there, &["reset", "--quiet", "--hard", "HEAD^"]);
    }
}

/// Puts a program in the place of the guest's git.
fn other_git(work: &Work, script: &str) {
    let bin = work.guest.home.dir().join("bin");
    fs::create_dir_all(&bin).unwrap();
    let real = Command::new("sh").args(["-c", "command -v git"]).output().unwrap().stdout;
    let real = String::from_utf8(real).unwrap();
    let text = format!(
        "#!/bin/bash\nreal={}\ncase \"$*\" in *upload-pack*) ;; *) exec $real \"$@\" ;; esac\n{script}\n",
        real.trim()
    );
    fs::write(bin.join("git"), text).unwrap();
    fs::set_permissions(bin.join("git"), PermissionsExt::from_mode(0o755)).unwrap();
    fs::write(work.guest.home.dir().join(".profile"), format!("PATH='{}':$PATH\n", bin.display())).unwrap();
}

/// Lines as `git-upload-pack` writes them.
const PACKET: &str = "packet() { printf '%04x%s' $((${#1} + 4)) \"$1\"; }\n";

#[test]
fn a_git_that_lies_is_not_believed_and_not_waited_for() {
    let work = Work::pushed();
    work.commit_there("x", "x");
    let oid = git(&work.there, &["rev-parse", "HEAD"]);
    let zeros = "0".repeat(40);
    let advertise =
        |name: &str| format!("{PACKET}packet \"{oid} \"{name}$'\\n'; printf 0000; cat >/dev/null");
    for (script, code, part) in [
        // No protocol at all, without an end.
        ("yes".to_owned(), 1, ""),
        ("exec cat /dev/zero".to_owned(), 1, ""),
        // Refs without an end.
        (
            format!(
                "{PACKET}for ((i = 0; i < 5000; i++)); do packet '{oid} refs/heads/x'$i$'\\n'; done >~/refs\n\
                 while cat ~/refs; do :; done"
            ),
            1,
            "tells about its refs",
        ),
        // What is said on the way, without an end.
        ("yes $'\\e]52;c;eHl6\\a\\e[31mevil' >&2; exit 1".to_owned(), 1, ""),
        // Names that no ref has.
        (advertise("refs/heads/../../../evil"), 1, ""),
        (advertise("refs/heads/a.lock"), 1, ""),
        (advertise("refs/heads/$'\\e[31m'"), 1, ""),
        // Objects that are not there.
        (format!("{PACKET}packet '{zeros} refs/heads/x'$'\\n'; printf 0000; cat >/dev/null"), 1, ""),
        // Nothing, and then the end.
        ("exit 0".to_owned(), 1, ""),
        // An end of a script of ours, which is not.
        ("exit 72".to_owned(), 1, ""),
    ] {
        other_git(&work, &script);
        let before = (state(&work), work.refs());
        // A connection that is kept would have the shell of before.
        let command = work.command(&["fetch", "vm", "--no-mux", "--max-size", "64mb", "--max-time", "20"]);
        let ran = finish(command, Duration::from_secs(60));
        assert!(ran.code == code || ran.code == 5, "{script}: {} {}", ran.code, ran.err);
        assert!(ran.err.contains(part), "{script}: {}", ran.err);
        assert!(!ran.err.contains('\u{1b}') && ran.err.len() < 20_000, "{script}: {:?}", ran.err);
        assert_eq!((state(&work), work.refs()), before, "{script}");
        let staging = work.guest.home.data().join("staging");
        assert_eq!(fs::read_dir(staging).unwrap().count(), 0, "{script}");
    }
}

#[test]
fn more_than_is_wanted_is_not_taken() {
    let work = Work::pushed();
    let mut noise = vec![0; 6 << 20];
    let mut seed = 1_u64;
    for byte in &mut noise {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        *byte = (seed >> 56) as u8;
    }
    fs::write(work.there.join("noise"), noise).unwrap();
    work.commit_there("x", "x");
    let before = (state(&work), work.refs());
    let ran = work.run(&["fetch", "vm", "--max-size", "2mb"]);
    assert!(
        ran.code == 1 && ran.err.contains("sent more than 2097152 bytes") && ran.err.contains("--max-size"),
        "{}",
        ran.err
    );
    assert_eq!((state(&work), work.refs()), before);
    work.ok(&["fetch", "vm", "--max-size", "8mb"]);
}

#[test]
fn names_and_subjects_are_shown_without_what_acts() {
    let work = Work::pushed();
    let oid = git(&work.there, &["rev-parse", "HEAD"]);
    for name in [
        "$(touch${IFS}canary)",
        "a;touch${IFS}canary",
        "`id`",
        "-x",
        "HEAD/x",
        "refs/heads/main",
        "back'quote",
    ] {
        git(&work.there, &["update-ref", &format!("refs/heads/{name}"), &oid]);
    }
    let subject = "\u{1b}]0;title\u{7}\u{1b}[2Jevil\u{202e}txt\r\u{9b}31m";
    fs::write(work.there.join("\u{1b}[31m.envrc"), "").unwrap();
    fs::create_dir(work.there.join("\u{1b}[2J")).unwrap();
    fs::write(work.there.join("\u{1b}[2J/.envrc"), "").unwrap();
    git(&work.there, &["add", "--all"]);
    git(&work.there, &["commit", "--quiet", "--message", subject]);
    let ahead = git(&work.there, &["rev-parse", "HEAD"]);
    git(&work.there, &["update-ref", "refs/heads/$(touch${IFS}canary)", &ahead]);
    git(&work.there, &["checkout", "--quiet", &oid]);
    let ran = work.ok(&["fetch", "vm"]);
    let json = work.ok(&["fetch", "vm", "--json"]);
    for text in [&ran.out, &ran.err, &json.out, &json.err] {
        assert!(!text.contains(['\u{1b}', '\u{202e}', '\u{9b}', '\r', '\u{7}']), "{text:?}");
    }
    assert!(ran.out.contains("/.envrc: runs when the folder is entered"), "{}", ran.out);
    // What is shown to be pasted is pasted.
    let pasted = ran.out.lines().find_map(|line| line.strip_prefix("take it:     ")).unwrap();
    let pasted = pasted.replace("git merge", "git rev-parse");
    let mut shell = Command::new("sh");
    let said = shell.args(["-c", &pasted]).current_dir(&work.here).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stdout).trim(), ahead, "{pasted}");
    assert!(!work.here.join("canary").exists());
    // A branch that would be what is checked out is not taken for that.
    assert_eq!(git(&work.here, &["rev-parse", "refs/remotes/ai-vm-vm/HEAD"]), oid);
}

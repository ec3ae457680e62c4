//! Files go in and out, whole or not at all, with what belongs to them.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sha2::Digest;

use crate::home::{Ran, finish};
use crate::sshd::Guest;

pub const PATIENCE: Duration = Duration::from_secs(60);

/// What is in the home directory that the server gives is "in the VM": `guest/` of the test's directory.
pub fn cp(guest: &Guest, args: &[&str]) -> Ran {
    finish(command(guest, args), PATIENCE)
}

pub fn command(guest: &Guest, args: &[&str]) -> Command {
    let mut command = guest.home.command(&[&["cp"], args].concat());
    command.current_dir(guest.home.dir().join("host"));
    command
}

pub fn ok(guest: &Guest, args: &[&str]) -> Ran {
    let ran = cp(guest, args);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "ai-vm cp {args:?}");
    ran
}

/// A server, a directory `host` here and a directory `there` that is reached as `vm:there`.
pub fn serve() -> (Guest, PathBuf, PathBuf) {
    let guest = Guest::serve("");
    let (host, there) = (guest.home.dir().join("host"), guest.home.dir().join("there"));
    fs::create_dir(&host).unwrap();
    fs::create_dir(&there).unwrap();
    (guest, host, there)
}

/// Everything about a tree that a copy keeps: name, kind and mode, time, and content or target.
pub fn snapshot(top: &Path) -> Vec<String> {
    fn add(path: &Path, top: &Path, all: &mut Vec<String>) {
        let found = path.symlink_metadata().unwrap();
        let content = if found.is_dir() {
            Vec::new()
        } else if found.is_symlink() {
            fs::read_link(path).unwrap().into_os_string().into_vec()
        } else {
            fs::read(path).unwrap()
        };
        let digest = sha2::Sha256::digest(&content)[..4].to_vec();
        let (mode, seconds, nanos) = (found.mode(), found.mtime(), found.mtime_nsec());
        let name = path.strip_prefix(top).unwrap();
        all.push(format!("{name:?} {mode:o} {seconds}.{nanos:09} {} {digest:x?}", content.len()));
        if found.is_dir() {
            let mut inside: Vec<_> = fs::read_dir(path).unwrap().map(|one| one.unwrap().path()).collect();
            inside.sort();
            inside.iter().for_each(|path| add(path, top, all));
        }
    }
    let mut all = Vec::new();
    add(top, top, &mut all);
    all
}

/// Names in a directory, sorted.
pub fn names(dir: &Path) -> Vec<OsString> {
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|one| one.unwrap().file_name()).collect();
    names.sort();
    names
}

/// Says that a test did nothing, and why.
#[expect(clippy::print_stderr, reason = "whoever reads the output of the tests is to see it")]
pub fn not_tested(why: &str) {
    eprintln!("not tested: {why}");
}

fn touch(path: &Path, when: &str) {
    let mut command = Command::new("touch");
    assert!(command.args(["-h", "-d", when]).arg(path).status().unwrap().success());
}

/// A tree with all that is hard to copy.
pub fn wild_tree(top: &Path) {
    fs::create_dir_all(top.join("sub/deep")).unwrap();
    fs::write(top.join("plain"), "plain").unwrap();
    fs::write(top.join("empty"), "").unwrap();
    fs::write(top.join("sub/deep/big"), vec![7; 300_000]).unwrap();
    for name in [
        &b"-rf"[..],
        b"a\nb",
        b"\xff\xfe",
        b"back\\slash",
        b"quote'\"$HOME",
        b" blank ",
        b".hidden",
        b"..x",
        b"a:b",
    ] {
        fs::write(top.join(OsStr::from_bytes(name)), name).unwrap();
    }
    let long = "l".repeat(200);
    fs::create_dir(top.join(&long)).unwrap();
    fs::write(top.join(&long).join(&long), "long").unwrap();
    symlink("plain", top.join("link")).unwrap();
    symlink("/etc/passwd", top.join("absolute")).unwrap();
    symlink("../../outside", top.join("sub/up")).unwrap();
    symlink("x".repeat(300), top.join("dangling")).unwrap();
    fs::set_permissions(top.join("plain"), fs::Permissions::from_mode(0o751)).unwrap();
    fs::set_permissions(top.join("empty"), fs::Permissions::from_mode(0o400)).unwrap();
    fs::set_permissions(top.join("sub/deep"), fs::Permissions::from_mode(0o500)).unwrap();
    touch(&top.join("plain"), "2001-02-03 04:05:06.123456789");
    touch(&top.join("link"), "2002-02-03 04:05:06.5");
    touch(&top.join("empty"), "1960-01-01 00:00:00.25");
    touch(&top.join("sub/deep"), "2003-02-03 04:05:06");
    touch(&top.join("sub"), "2004-02-03 04:05:06");
    touch(top, "2005-02-03 04:05:06");
}

#[test]
fn a_file_goes_in_and_out() {
    let (guest, host, there) = serve();
    fs::write(host.join("a"), "hello").unwrap();
    fs::write(host.join("b:c"), "colon").unwrap();
    touch(&host.join("a"), "2001-02-03 04:05:06.123456789");
    ok(&guest, &["a", "./b:c", "vm:there"]);
    ok(&guest, &["a", "vm:there/other name"]);
    ok(&guest, &["a", &format!("vm:{}", there.join("absolute").display())]);
    assert_eq!(names(&there), ["a", "absolute", "b:c", "other name"]);
    assert_eq!(snapshot(&there.join("a")), snapshot(&host.join("a")));
    assert_eq!(snapshot(&there.join("other name")), snapshot(&host.join("a")));
    ok(&guest, &["vm:there/other name", "."]);
    ok(&guest, &["vm:there/a", "vm:there/b:c", "into/"]);
    ok(&guest, &["vm:there/a", "new"]);
    ok(&guest, &["--no-mux", "vm:there/b:c", "new"]);
    assert_eq!(snapshot(&host.join("other name")), snapshot(&host.join("a")));
    assert_eq!(names(&host.join("into")), ["a", "b:c"]);
    assert_eq!(fs::read(host.join("new")).unwrap(), b"colon");
    // Nothing of the way is left.
    assert_eq!(names(&host), ["a", "b:c", "into", "new", "other name"]);
    assert_eq!(names(&there).len(), 4);
}

#[test]
fn a_tree_keeps_what_belongs_to_it() {
    let (guest, host, there) = serve();
    wild_tree(&host.join("tree"));
    let tree = snapshot(&host.join("tree"));
    ok(&guest, &["-r", "tree", "vm:there/copy"]);
    assert_eq!(snapshot(&there.join("copy")), tree);
    ok(&guest, &["-r", "tree", "vm:there"]);
    assert_eq!(snapshot(&there.join("tree")), tree);
    // Over itself: merged.
    ok(&guest, &["-r", "tree", "vm:there"]);
    assert_eq!(snapshot(&there.join("tree")), tree);
    ok(&guest, &["-r", "vm:there/tree", "back"]);
    assert_eq!(snapshot(&host.join("back")), tree);
    ok(&guest, &["-r", "vm:there/tree", "back"]);
    assert_eq!(snapshot(&host.join("back/tree")), tree);
    fs::remove_dir_all(host.join("back/tree")).unwrap();
    ok(&guest, &["-r", "vm:there/tree/.", "back"]);
    // What a directory is merged into keeps its own time.
    assert_eq!(snapshot(&host.join("back"))[1..], tree[1..]);
    ok(&guest, &["-r", "back/.", "vm:there/inside"]);
    assert_eq!(snapshot(&there.join("inside"))[1..], tree[1..]);
    assert_eq!(names(&there), ["copy", "inside", "tree"]);
    // Through this machine to another place in a VM.
    ok(&guest, &["-r", "vm:there/tree", "vm:there/relayed"]);
    assert_eq!(snapshot(&there.join("relayed")), tree);
}

#[test]
fn only_what_changed_travels() {
    for flags in [&["-ru"][..], &["-r", "--checksum"]] {
        let (guest, host, there) = serve();
        wild_tree(&host.join("tree"));
        let push = |more: &[&str]| ok(&guest, &[flags, more, &["tree", "vm:there"]].concat());
        let pull = |more: &[&str]| ok(&guest, &[flags, more, &["vm:there/tree", "back/"]].concat());
        let relay =
            |more: &[&str]| ok(&guest, &[flags, more, &["vm:there/tree/.", "vm:there/relayed"]].concat());
        let inode = |path: PathBuf| path.metadata().unwrap().ino();
        push(&[]);
        pull(&[]);
        relay(&[]);
        let tree = snapshot(&host.join("tree"));
        assert_eq!(snapshot(&there.join("tree")), tree);
        assert_eq!(snapshot(&host.join("back/tree")), tree);
        assert_eq!(snapshot(&there.join("relayed"))[1..], tree[1..]);
        let all = || {
            [there.join("tree/plain"), host.join("back/tree/plain"), there.join("relayed/plain")].map(inode)
        };
        let before = all();
        push(&["--delete"]);
        pull(&["--delete"]);
        relay(&["--delete"]);
        assert_eq!(all(), before, "what had not changed was copied");
        // One changes, one comes, two go.
        fs::write(host.join("tree/sub/deep/big"), "changed").unwrap();
        fs::write(host.join("tree/new"), "new").unwrap();
        fs::remove_file(host.join("tree/a:b")).unwrap();
        fs::remove_dir_all(host.join("tree").join("l".repeat(200))).unwrap();
        let tree = snapshot(&host.join("tree"));
        push(&[]);
        assert!(there.join("tree/a:b").exists());
        assert_eq!(fs::read(there.join("tree/sub/deep/big")).unwrap(), b"changed");
        push(&["--delete"]);
        pull(&["--delete"]);
        relay(&["--delete"]);
        // The top has another time: something in it was removed after it was finished.
        assert_eq!(snapshot(&there.join("tree"))[1..], tree[1..]);
        assert_eq!(snapshot(&host.join("back/tree"))[1..], tree[1..]);
        assert_eq!(snapshot(&there.join("relayed"))[1..], tree[1..]);
        assert_eq!(all(), before, "what had not changed was copied");
    }
}

#[test]
fn the_same_size_and_time_do_not_fool_a_checksum() {
    let (guest, host, there) = serve();
    for (place, text) in [(&host, "one"), (&there, "two")] {
        fs::write(place.join("f"), text).unwrap();
        touch(&place.join("f"), "2001-02-03 04:05:06");
    }
    ok(&guest, &["-u", "f", "vm:there/f"]);
    ok(&guest, &["-u", "vm:there/f", "."]);
    assert_eq!(fs::read(there.join("f")).unwrap(), b"two");
    assert_eq!(fs::read(host.join("f")).unwrap(), b"one");
    ok(&guest, &["--checksum", "f", "vm:there/f"]);
    assert_eq!(fs::read(there.join("f")).unwrap(), b"one");
}

#[test]
fn removing_follows_no_links() {
    let (guest, host, there) = serve();
    for place in [&host, &there] {
        fs::create_dir(place.join("d")).unwrap();
        fs::create_dir(place.join("precious")).unwrap();
        fs::write(place.join("precious/file"), "x").unwrap();
        fs::create_dir(place.join("empty")).unwrap();
    }
    for place in [&host, &there] {
        symlink("../precious", place.join("d/link")).unwrap();
        symlink(place.join("precious/file"), place.join("d/-f")).unwrap();
    }
    ok(&guest, &["-r", "--delete", "empty/.", "vm:there/d"]);
    ok(&guest, &["-r", "--delete", "vm:there/empty/.", "d"]);
    for place in [&host, &there] {
        assert!(names(&place.join("d")).is_empty());
        assert!(place.join("precious/file").exists());
    }
    let ran = cp(&guest, &["--delete", "d", "vm:"]);
    assert_eq!(ran.code, 2, "{}", ran.err);
}

#[test]
fn streams_become_files_and_files_streams() {
    let (guest, host, there) = serve();
    let bytes: Vec<u8> = (0..500_000u32).flat_map(u32::to_le_bytes).collect();
    fs::write(host.join("bytes"), &bytes).unwrap();
    let mut from = command(&guest, &["-", "vm:there/-x y"]);
    from.stdin(fs::File::open(host.join("bytes")).unwrap());
    let ran = finish(from, PATIENCE);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert!(fs::read(there.join("-x y")).unwrap() == bytes);
    let mut to = command(&guest, &["vm:there/-x y", "-"]);
    assert!(to.stdout(fs::File::create(host.join("back")).unwrap()).status().unwrap().success());
    assert!(fs::read(host.join("back")).unwrap() == bytes);
    // Nothing at all is a file too.
    ok(&guest, &["-", "vm:there/empty"]);
    assert_eq!(fs::read(there.join("empty")).unwrap(), b"");
    assert_eq!(ok(&guest, &["vm:there/empty", "-"]).out, "");
    assert_eq!(names(&there), ["-x y", "empty"]);
    for (args, code) in [
        (&["-", "vm:there"][..], 1),
        (&["-", "vm:"], 2),
        (&["-", "."], 2),
        (&["vm:there", "-"], 1),
        (&["-u", "vm:there/empty", "-"], 2),
        (&["-r", "vm:there/empty", "-"], 2),
        (&["bytes", "-"], 2),
    ] {
        let ran = cp(&guest, args);
        assert_eq!(ran.code, code, "{args:?}: {}", ran.err);
        assert!(ran.err.starts_with("error: "), "{args:?}: {}", ran.err);
    }
    assert_eq!(names(&there), ["-x y", "empty"]);
}

#[test]
fn holes_stay_holes() {
    use std::os::unix::fs::FileExt;
    let (guest, host, there) = serve();
    let file = fs::File::create(host.join("sparse")).unwrap();
    file.set_len(20 << 20).unwrap();
    file.write_at(b"begin", 0).unwrap();
    file.write_at(b"middle", 10 << 20).unwrap();
    fs::File::create(host.join("hole")).unwrap().set_len(5 << 20).unwrap();
    ok(&guest, &["sparse", "hole", "vm:there"]);
    ok(&guest, &["vm:there/sparse", "vm:there/hole", "back/"]);
    ok(&guest, &["vm:there/sparse", "vm:there/hole", "vm:relayed/"]);
    let relayed = guest.home.dir().join("relayed");
    for place in [&there, &host.join("back"), &relayed] {
        assert_eq!(snapshot(&place.join("sparse")), snapshot(&host.join("sparse")));
        assert_eq!(snapshot(&place.join("hole")), snapshot(&host.join("hole")));
        for name in ["sparse", "hole"] {
            let blocks = place.join(name).metadata().unwrap().blocks();
            assert!(blocks < 1024, "{name} takes {blocks} blocks in {place:?}");
        }
    }
}

#[test]
fn what_cannot_be_done_is_said_and_does_nothing() {
    let (guest, host, there) = serve();
    fs::create_dir(host.join("dir")).unwrap();
    fs::write(host.join("file"), "x").unwrap();
    fs::create_dir(there.join("file")).unwrap();
    fs::write(there.join("dir"), "x").unwrap();
    fs::create_dir(there.join("tree")).unwrap();
    // A directory beside what could not be placed has come and gone, which shows in a time.
    let all = || (snapshot(&host), snapshot(&there)[1..].to_vec());
    let before = all();
    for (args, code, says) in [
        (&["dir", "vm:there"][..], 2, "`dir` is a directory"),
        (&["missing", "vm:there"], 3, "missing"),
        (&["file", "vm:no/such/dir"], 1, "does not exist"),
        (&["file", "file", "vm:there"], 2, "two sources are called `file`"),
        (&["file", "dir", "vm:there/dir"], 2, "is a directory"),
        (&["-r", "file", "dir", "vm:there/dir"], 1, "is not a directory"),
        (&["file", "vm:there"], 1, "cannot put a file in the place of a directory: ./there/file"),
        (&["-r", "dir", "vm:there"], 1, "cannot put a directory in the place of a file: ./there/dir"),
        (&["vm:there/tree", "."], 1, "is a directory: "),
        (&["vm:there/missing", "."], 1, "missing"),
        (&["-ru", "vm:there/missing", "."], 1, "missing"),
        (&["vm:there/dir", "no/such/dir"], 3, "no/such"),
        (&["file", "other:"], 3, "other"),
        (&["file", "copy"], 2, "both sides are on this machine"),
        (&["file", "b a d:x"], 2, "./b a d:x"),
    ] {
        let ran = cp(&guest, args);
        assert_eq!(ran.code, code, "{args:?}: {}", ran.err);
        assert!(ran.err.contains(says), "{args:?}: {}", ran.err);
        assert_eq!(all(), before, "{args:?} did something");
    }
}

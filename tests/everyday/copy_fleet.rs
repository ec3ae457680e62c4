//! The same copy for many VMs, and copies between two: each VM here is a server with a home directory of its own.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::copy::{PATIENCE, names, not_tested, snapshot, wild_tree};
use crate::fleet::Fleet;
use crate::home::{Ran, finish};
use crate::processes;

const ALL: [&str; 3] = ["a", "b", "c"];

struct Machines(Fleet);

impl Machines {
    fn new() -> Self {
        let fleet = Fleet::apart();
        fs::create_dir(fleet.home.dir().join("here")).unwrap();
        Self(fleet)
    }

    /// A path here, or in the home directory of a VM.
    fn at(&self, path: &str) -> PathBuf {
        self.0.home.dir().join(path)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.0.home.command(&[&["cp"], args].concat());
        command.current_dir(self.at("here"));
        command
    }

    fn cp(&self, args: &[&str]) -> Ran {
        finish(self.command(args), PATIENCE)
    }

    fn ok(&self, args: &[&str]) -> Ran {
        let ran = self.cp(args);
        assert_eq!((ran.code, ran.out.as_str()), (0, ""), "ai-vm cp {args:?}: {}", ran.err);
        ran
    }

    /// Adopts one that lets connect and says nothing, for as long as the returned value lives.
    fn adopt_dead(&self) -> TcpListener {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        self.0.adopt("dead", listener.local_addr().unwrap().port(), &["--no-check"]);
        listener
    }
}

/// What is said when nothing went wrong is one line for each VM.
fn lines(ran: &Ran) -> Vec<String> {
    let mut lines: Vec<_> = ran.err.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn from_one_vm_to_another() {
    let it = Machines::new();
    wild_tree(&it.at("a/tree"));
    let tree = snapshot(&it.at("a/tree"));
    for (flags, to, copy) in [
        (["-r", "--quiet"], "b:new", "b/new"),
        (["-r", "--no-mux"], "b:", "b/tree"),
        (["-ru", "--delete"], "b:", "b/tree"),
        (["-r", "--checksum"], "b:sub/../", "b/tree"),
    ] {
        fs::create_dir_all(it.at("b/sub")).unwrap();
        assert_eq!(it.ok(&[&flags[..], &["a:tree", to]].concat()).err, "");
        assert_eq!(snapshot(&it.at(copy)), tree, "{flags:?}");
    }
    // From two to a third one, and what is wrong is said of the one where it is.
    it.ok(&["a:tree/plain", "b:tree/empty", "c:into/"]);
    assert_eq!(names(&it.at("c/into")), ["empty", "plain"]);
    let ran = it.cp(&["a:missing", "b:"]);
    assert!(ran.code == 1 && ran.err.contains("error: a: "), "{}", ran.err);
    let ran = it.cp(&["a:tree/plain", "b:no/such/dir"]);
    assert!(
        ran.code == 1 && ran.err.contains("error: b: ") && ran.err.contains("./no/such/dir"),
        "{}",
        ran.err
    );
    assert!(!names(&it.at("b")).iter().any(|name| name.to_string_lossy().starts_with(".ai-vm")));
}

#[test]
fn into_many_and_out_of_many() {
    let it = Machines::new();
    wild_tree(&it.at("here/tree"));
    let tree = snapshot(&it.at("here/tree"));
    for (flags, to) in [
        (&[][..], "a,b,c:"),
        (&["--no-mux"], "c,b,a,a:"),
        (&["--all"], ":"),
        (&["--all", "-j", "1"], ":sub/../"),
    ] {
        ALL.iter().for_each(|name| fs::create_dir_all(it.at(name).join("sub")).unwrap());
        let ran = it.ok(&[&["-r"], flags, &["tree", to]].concat());
        for (name, line) in ALL.into_iter().zip(lines(&ran)) {
            assert!(line.starts_with(&format!("{name}: copied 21 files and directories, ")), "{line}");
            assert_eq!(snapshot(&it.at(name).join("tree")), tree, "{flags:?} {to}");
            fs::remove_dir_all(it.at(name).join("tree")).unwrap();
        }
    }
    // Only some of them, and only what has changed.
    it.ok(&["-ru", "tree", "a,b:"]);
    assert!(!it.at("c/tree").exists());
    fs::write(it.at("here/tree/plain"), "changed").unwrap();
    let ran = it.ok(&["-ru", "--all", "--delete", "tree", ":"]);
    let some = |line: &String| line.contains("copied") && !line.contains("copied 21 files");
    assert_eq!(lines(&ran).iter().filter(|line| some(line)).count(), 2, "{}", ran.err);
    let ran = it.ok(&["-ru", "--all", "tree", ":"]);
    assert_eq!(lines(&ran), ALL.map(|name| format!("{name}: nothing to copy")));
    let tree = snapshot(&it.at("here/tree"));
    // Back, each into a directory of its own, which is made with the one around it.
    it.ok(&["-r", "--all", ":tree", "back"]);
    assert_eq!(names(&it.at("here/back")), ALL);
    for name in ALL {
        assert_eq!(snapshot(&it.at("here/back").join(name).join("tree")), tree);
    }
    fs::remove_file(it.at("here/tree/a:b")).unwrap();
    let ran = it.ok(&["-ru", "--delete", "a,b:tree/.", "few/"]);
    assert!(
        ran.err.contains("a: copied 20 files and directories, ") && !ran.err.contains("removed"),
        "{}",
        ran.err
    );
    let ran = it.ok(&["-ru", "--delete", "tree", "a,b:"]);
    assert_eq!(lines(&ran), ["a", "b"].map(|name| format!("{name}: nothing to copy; removed 1")));
    let ran = it.ok(&["-ru", "--delete", "a,b:tree/.", "few/"]);
    assert_eq!(lines(&ran), ["a", "b"].map(|name| format!("{name}: nothing to copy; removed 1")));
    fs::remove_dir_all(it.at("here/few")).unwrap();
    it.ok(&["a,c:tree/plain", "a,c:tree/empty", "few/"]);
    assert_eq!(names(&it.at("here/few")), ["a", "c"]);
    assert_eq!(names(&it.at("here/few/c")), ["empty", "plain"]);
    // Within each, and out of each into one.
    it.ok(&["--all", ":tree/plain", ":plain"]);
    assert_eq!(fs::read(it.at("c/plain")).unwrap(), b"changed");
    fs::create_dir(it.at("c/all")).unwrap();
    it.ok(&["a,b:plain", "c:all"]);
    assert_eq!(
        (names(&it.at("c/all")), names(&it.at("c/all/a"))),
        (vec!["a".into(), "b".into()], vec!["plain".into()])
    );
}

#[test]
fn one_that_is_dead_or_fails_is_told_and_delays_nobody() {
    let it = Machines::new();
    let _dead = it.adopt_dead();
    fs::write(it.at("here/file"), "x").unwrap();
    fs::create_dir(it.at("b/file")).unwrap();
    let ran = it.cp(&["--all", "--timeout", "5", "file", ":"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("error: b: cannot copy to `.`: not everything could be put"), "{}", ran.err);
    assert!(ran.err.contains("error: dead: "), "{}", ran.err);
    // Those that could were done before the dead one was given up.
    let told: Vec<_> = ran.err.lines().filter(|line| !line.starts_with("  ")).collect();
    assert!(told.last().unwrap().starts_with("error: dead: "), "{}", ran.err);
    for name in ["a", "c"] {
        assert!(ran.err.contains(&format!("{name}: copied 1 file, 1 B\n")), "{}", ran.err);
        assert_eq!(fs::read(it.at(name).join("file")).unwrap(), b"x");
    }
    let ran = it.cp(&["--all", "--timeout", "5", "--json", ":file", "back"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    let rows: Vec<serde_json::Value> = serde_json::from_str(&ran.out).unwrap();
    let ends = rows.iter().map(|row| (row["name"].as_str().unwrap(), row["ok"].as_bool().unwrap()));
    assert_eq!(ends.collect::<Vec<_>>(), [("a", true), ("b", false), ("c", true), ("dead", false)]);
    assert_eq!((&rows[0]["action"], &rows[0]["state"]), (&"cp".into(), &"running".into()));
    assert!(rows[0]["result"].as_str().unwrap().starts_with("copied 1 file, "), "{}", ran.out);
    assert!(rows[1]["error"]["message"].as_str().unwrap().contains("is a directory"), "{}", ran.out);
    // No directory is left of those of which nothing came.
    assert_eq!(names(&it.at("here/back")), ["a", "c"]);
    let ran = it.cp(&["--all", "--timeout", "5", ":missing", "nothing"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(!it.at("here/nothing").exists());
    // One by one, the first failure ends it; and one VM by itself has a result if that is asked for.
    let ran = it.cp(&["-j", "1", "--fail-fast", "b,c:file", "fast"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("c: ended because another one failed"), "{}", ran.err);
    let ran = it.cp(&["--json", "a:file", "single"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    let rows: Vec<serde_json::Value> = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((rows.len(), &rows[0]["ok"], rows[0]["error"].is_null()), (1, &true.into(), true));
    assert_eq!(fs::read(it.at("here/single")).unwrap(), b"x");
}

#[test]
fn a_signal_ends_all_of_them() {
    let it = Machines::new();
    fs::write(it.at("here/large"), vec![7; 256 << 20]).unwrap();
    let mut child = it.command(&["large", "a,b,c:"]).stderr(Stdio::piped()).spawn().unwrap();
    let has_begun =
        |name: &str| names(&it.at(name)).iter().any(|name| name.to_string_lossy().starts_with(".ai-vm-cp"));
    let before = ALL.map(|name| names(&it.at(name)));
    while !ALL.into_iter().all(has_begun) {
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        std::thread::sleep(Duration::from_millis(1));
    }
    processes::signal(child.id(), "INT");
    let ran = crate::home::wait(child, PATIENCE, "cp");
    assert_eq!(ran.code, 130, "{}", ran.err);
    assert_eq!(ALL.map(|name| names(&it.at(name))), before);
}

#[test]
fn what_makes_no_sense_is_said_before_anything_is_done() {
    let it = Machines::new();
    fs::write(it.at("here/file"), "x").unwrap();
    let before = ALL.map(|name| names(&it.at(name)));
    for (args, code, says) in [
        (&["file", ":"][..], 2, "nothing says in which"),
        (&["--all", "file", "a:"], 2, "no path is in them"),
        (&["--all", "file", "a,b:"], 2, "and so does `--all`"),
        (&["a,b:file", "b,c:"], 2, "in different VMs"),
        (&["--all", "-l", "x=y", "file", ":"], 2, "cannot be used with"),
        (&["-", "a,b:file"], 2, "many VMs cannot share"),
        (&["--json", "a:file", "-"], 2, "both go to stdout"),
        (&["missing", "a,b:"], 3, "missing"),
        (&["file", "a,nobody:"], 3, "no VM named `nobody`"),
        (&["--all", ":file", "no/such/dir"], 3, "no/such/dir"),
        (&["-l", "x=y", "file", ":"], 0, ""),
    ] {
        let ran = it.cp(args);
        assert_eq!(ran.code, code, "{args:?}: {}", ran.err);
        assert!(ran.err.contains(says) && ran.err.matches("error: ").count() <= 1, "{args:?}: {}", ran.err);
        assert_eq!(ALL.map(|name| names(&it.at(name))), before, "{args:?} did something");
    }
}

#[test]
fn an_ordinary_user_copies_as_root_does() {
    let it = Machines::new();
    let binary = it.command(&[]).get_program().to_owned();
    let mut lower = Command::new("setpriv");
    lower.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(&binary).arg("--version");
    if !lower.output().is_ok_and(|output| output.status.success()) {
        return not_tested("only root can become another user, who has to reach the binary");
    }
    wild_tree(&it.at("here/tree"));
    let owned = |paths: &[&str]| {
        let mut command = Command::new("chown");
        command.args(["-Rh", "65534:65534"]).args(paths.iter().map(|path| it.at(path)));
        assert!(command.status().unwrap().success());
    };
    owned(&[""]);
    let as_nobody = |args: &[&str]| {
        let command = it.command(args);
        let mut lower = Command::new("setpriv");
        lower
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
            .arg(&binary)
            .args(command.get_args());
        for (name, value) in command.get_envs() {
            value.map(|value| lower.env(name, value));
        }
        lower.current_dir(it.at("here")).stdin(Stdio::null());
        finish(lower, PATIENCE)
    };
    let tree = snapshot(&it.at("here/tree"));
    let ok = |args: &[&str]| {
        let ran = as_nobody(args);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{args:?}");
    };
    ok(&["-r", "tree", "a:"]);
    assert_eq!(snapshot(&it.at("a/tree")), tree);
    ok(&["-r", "a:tree", "back"]);
    assert_eq!(snapshot(&it.at("here/back")), tree);
    // Over what is there, in directories that may not be written to.
    fs::write(it.at("a/tree/sub/deep/big"), "changed").unwrap();
    let tree = snapshot(&it.at("a/tree"));
    for flags in ["-r", "-ru"] {
        ok(&[flags, "a:tree/.", "back"]);
        assert_eq!(snapshot(&it.at("here/back"))[1..], tree[1..], "{flags}");
    }
    fs::remove_file(it.at("a/tree/sub/deep/big")).unwrap();
    ok(&["-ru", "--delete", "a:tree/.", "back"]);
    assert!(names(&it.at("here/back/sub/deep")).is_empty());
    // And whole directories of such.
    fs::set_permissions(it.at("a/tree/sub"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::remove_dir_all(it.at("a/tree/sub")).unwrap();
    fs::write(it.at("here/back/sub/more"), "x").unwrap();
    fs::set_permissions(it.at("here/back/sub"), fs::Permissions::from_mode(0o100)).unwrap();
    ok(&["-ru", "--delete", "a:tree/.", "back"]);
    assert_eq!(snapshot(&it.at("here/back"))[1..], snapshot(&it.at("a/tree"))[1..]);
    // What may not be read or written is said; the rest is copied.
    fs::write(it.at("here/tree/secret"), "x").unwrap();
    fs::set_permissions(it.at("here/tree/secret"), fs::Permissions::from_mode(0o000)).unwrap();
    let mut chown = Command::new("chown");
    assert!(chown.arg("0:0").arg(it.at("here/tree/secret")).status().unwrap().success());
    let ran = as_nobody(&["-r", "tree", "b:"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("tree/secret") && ran.err.contains("Permission denied"), "{}", ran.err);
    assert_eq!(fs::read(it.at("b/tree/plain")).unwrap(), b"plain");
    fs::create_dir(it.at("here/locked")).unwrap();
    let ran = as_nobody(&["a:tree/plain", "locked"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("locked/plain") && ran.err.contains("Permission denied"), "{}", ran.err);
    assert!(names(&it.at("here/locked")).is_empty());
}

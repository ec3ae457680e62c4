//! Folders of this machine that a VM sees: which are refused, what is recorded, and what a real QEMU makes of them.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::home::{Home, Ran, finish};
use crate::machine;
use crate::processes;

/// Names that mean something to a shell, to QEMU, to fstab, to systemd, to a terminal.
const ODD: [&str; 9] = [
    "a,readonly=off",
    "two  words ",
    "quotes ' and \"",
    "$(id) `id` $HOME",
    "ünïcödé \u{202e}left",
    "line\nend",
    "back\\slash\\",
    "%n %%",
    "-rw",
];

fn folder(home: &Home, name: &str) -> PathBuf {
    let path = fs::canonicalize(home.dir()).unwrap().join("shared").join(name);
    fs::create_dir_all(&path).unwrap();
    path
}

fn rows(home: &Home) -> Vec<Value> {
    serde_json::from_str(&home.ok(&["share", "ls", "--json", "vm"]).out).unwrap()
}

fn add(home: &Home, flag: &str, path: &Path) -> Ran {
    home.run(&["share", "add", "vm", flag, path.to_str().unwrap()])
}

/// What QEMU has open.
fn opened(home: &Home) -> Vec<PathBuf> {
    opened_by(machine::pid(home))
}

fn opened_by(pid: u32) -> Vec<PathBuf> {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    open.filter_map(|entry| fs::read_link(entry.path()).ok()).collect()
}

#[test]
fn what_is_not_for_guests_is_refused_and_leaves_nothing() {
    let home = Home::new();
    home.ok(&["ls"]);
    let own = home.data().join("vms");
    let file = home.dir().join("file");
    fs::write(&file, "").unwrap();
    for dir in [".ssh", ".config/gh", "work/.claude", "copy/.gnupg"] {
        fs::create_dir_all(home.dir().join(dir)).unwrap();
    }
    let work = home.dir().join("work");
    symlink("/etc", work.join("innocent")).unwrap();
    symlink("/proc/self/root", work.join("root")).unwrap();
    let at = |path: &str| home.dir().join(path).display().to_string();
    // Where, the exit code, what is said, whether insisting helps.
    let cases = [
        ("/".to_owned(), 2, "is never shared", false),
        ("/proc".to_owned(), 2, "is never shared", false),
        ("/dev/../sys/kernel".to_owned(), 2, "`/sys/kernel` holds the machine itself", false),
        (at("work/root"), 2, "`/` holds the machine itself", false),
        (own.display().to_string(), 2, "is ai-vm's own", false),
        (home.data().display().to_string(), 2, "is ai-vm's own", false),
        ("/etc".to_owned(), 2, "belongs to the system", true),
        (at("work/innocent"), 2, "`/etc` belongs to the system", true),
        (at("work/innocent/.."), 2, "`/` holds the machine itself", false),
        (at("work/../.ssh"), 2, "holds secrets", true),
        (at(".config"), 2, "holds secrets", true),
        (at("copy"), 2, "holds secrets", true),
        (at(""), 2, "is a whole home", true),
        ("/home".to_owned(), 2, "is a whole home", true),
        (at("none"), 3, "there is no folder", false),
        (at("file"), 2, "is not a folder", false),
    ];
    for (path, code, said, insisting_helps) in cases {
        for flag in ["--share-rw", "--share-ro"] {
            let ran = home.run(&["create", "vm", flag, &path]);
            assert_eq!((ran.code, ran.out.as_str()), (code, ""), "{path}: {}", ran.err);
            assert!(ran.err.contains(said), "{path}: {}", ran.err);
            assert_eq!(ran.err.contains("--i-know"), insisting_helps, "{path}: {}", ran.err);
            assert!(home.list().is_empty(), "{path} left a VM behind");
        }
        if !Path::new(&path).is_dir() {
            continue;
        }
        let ran = home.run(&["create", "vm", "--share-ro", &path, "--i-know"]);
        assert_eq!(ran.code == 0, insisting_helps, "{path}: {}", ran.err);
        home.run(&["rm", "vm"]);
    }
    // What projects have is no secret.
    home.ok(&["create", "vm", "--share-ro", work.to_str().unwrap()]);
}

#[test]
fn added_listed_and_taken_away() {
    let home = Home::new();
    machine::create(&home);
    let (web, other, third) = (folder(&home, "web"), folder(&home, "other/web"), folder(&home, "third"));
    assert_eq!(home.ok(&["share", "ls"]).out, "");
    assert_eq!(home.run(&["share", "add", "vm"]).code, 2);
    for path in [&web, &other, &web] {
        let ran = add(&home, "--rw", path);
        assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{}", ran.err);
        assert!(ran.err.contains("-> /mnt/host-rw/web") && !ran.err.contains("restart"), "{}", ran.err);
    }
    let rows_before = rows(&home);
    assert_eq!(rows_before.len(), 2, "{rows_before:?}");
    assert_eq!(rows_before[0]["guest"], "/mnt/host-rw/web");
    let second = rows_before[1]["name"].as_str().unwrap().to_owned();
    assert!(second.starts_with("web-") && second.len() == 12, "{second}");
    assert_eq!(rows_before[1]["path"], other.to_str().unwrap());
    let ran = add(&home, "--ro", &web);
    assert_eq!(ran.code, 4, "{}", ran.err);
    // All or nothing.
    let ran = home.run(&["share", "add", "vm", "--ro", third.to_str().unwrap(), "--rw", "/proc"]);
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert_eq!(home.run(&["share", "rm", "vm", "web", "nobody"]).code, 3);
    assert_eq!(rows(&home), rows_before);
    // A name stays what it is when the one is gone for which it was made; a folder that is gone can be taken away.
    fs::remove_dir(&web).unwrap();
    assert!(rows(&home)[0]["problem"].as_str().unwrap().contains("there is no folder"));
    home.ok(&["share", "rm", "vm", web.to_str().unwrap()]);
    assert_eq!(rows(&home).len(), 1);
    assert_eq!(rows(&home)[0]["name"], second.as_str());
    home.ok(&["share", "rm", "vm", &second]);
    assert!(rows(&home).is_empty());
    assert!(!fs::read_to_string(home.vm("vm").join("vm.toml")).unwrap().contains("share"));
}

#[test]
fn a_running_vm_has_what_it_was_started_with() {
    let home = Home::new();
    machine::create(&home);
    let (one, two) = (folder(&home, "one"), folder(&home, "two"));
    add(&home, "--ro", &one);
    machine::start(&home);
    let ran = add(&home, "--rw", &two);
    assert!(
        ran.err.contains("(from the next start on)") && ran.err.contains("ai-vm restart vm"),
        "{}",
        ran.err
    );
    let ran = home.ok(&["share", "rm", "vm", "one"]);
    assert!(ran.err.contains("sees it until it is stopped"), "{}", ran.err);
    let states = || -> Vec<(String, String)> {
        let of = |row: &Value| (row["name"].as_str().unwrap().into(), row["state"].as_str().unwrap().into());
        rows(&home).iter().map(of).collect()
    };
    let expected = |name: &str, state: &str| (name.to_owned(), state.to_owned());
    assert_eq!(states(), [expected("two", "pending"), expected("one", "leaving")]);
    assert!(opened(&home).contains(&one) && !opened(&home).contains(&two));
    let info = home.ok(&["info", "vm"]).out;
    assert!(info.contains("/mnt/host-ro/one (until it is stopped)"), "{info}");
    assert_eq!(home.list()[0]["shares"][0]["state"], "pending");
    home.ok(&["stop", "--force", "vm"]);
    assert_eq!(states(), [expected("two", "pending")]);
    machine::start(&home);
    assert_eq!(states(), [expected("two", "active")]);
    assert!(opened(&home).contains(&two) && !opened(&home).contains(&one));
}

#[test]
fn odd_names_are_only_names() {
    let home = Home::new();
    machine::create(&home);
    let folders: Vec<PathBuf> = ODD.iter().map(|name| folder(&home, name)).collect();
    for path in &folders {
        let ran = add(&home, "--ro", path);
        assert_eq!(ran.code, 0, "{path:?}: {}", ran.err);
        assert!(!ran.err.contains(['\u{202e}', '\u{1b}']), "{:?}", ran.err);
    }
    let shown = rows(&home);
    for (row, path) in shown.iter().zip(&folders) {
        assert_eq!(row["path"], path.to_str().unwrap());
    }
    // What a record cannot hold.
    let folder_of_bytes = home.dir().join(OsStr::from_bytes(b"\xff"));
    fs::create_dir(&folder_of_bytes).unwrap();
    let mut command = home.command(&["share", "add", "vm", "--ro"]);
    let ran = finish(
        {
            command.arg(&folder_of_bytes);
            command
        },
        Duration::from_secs(20),
    );
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(ran.err.contains("not valid UTF-8"), "{}", ran.err);
    // As many as a VM can have.
    for number in ODD.len()..16 {
        add(&home, "--rw", &folder(&home, &number.to_string()));
    }
    assert_eq!(add(&home, "--rw", &folder(&home, "one more")).code, 2);
    machine::start(&home);
    let pid = machine::pid(&home);
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    let arguments: Vec<String> =
        arguments.split(|byte| *byte == 0).map(|arg| String::from_utf8_lossy(arg).into_owned()).collect();
    let folders_given: Vec<&String> = arguments.iter().filter(|arg| arg.starts_with("local,")).collect();
    assert_eq!(folders_given.len(), 16);
    for (argument, path) in folders_given.iter().zip(&folders) {
        assert!(argument.contains(",readonly=on") && !argument.contains("readonly=off"), "{argument}");
        let (_, rest) = argument.split_once("path=").unwrap();
        let descriptor = rest.split_once(',').unwrap().0.rsplit_once('/').unwrap().1;
        assert_eq!(fs::read_link(format!("/proc/{pid}/fd/{descriptor}")).unwrap(), *path);
    }
    assert!(arguments.iter().all(|arg| !arg.contains("/shared/")), "a path got into an argument");
}

#[test]
fn nothing_of_one_vm_is_open_in_another() {
    let home = Home::new();
    let folders = ["one", "two", "three"].map(|name| {
        let flags = machine::empty(&home);
        let path = folder(&home, name);
        let share = ["create", name, "--share-rw", path.to_str().unwrap()];
        home.ok(&[&share, flags.iter().map(String::as_str).collect::<Vec<_>>().as_slice()].concat());
        path
    });
    // All at the same time, by one process.
    home.ok(&["start", "--no-wait", "--all"]);
    let mut seen = Vec::new();
    for (pid, _) in processes::running(&home) {
        let ours: BTreeSet<PathBuf> =
            opened_by(pid).into_iter().filter(|path| folders.contains(path)).collect();
        assert_eq!(ours.len(), 1, "{ours:?}");
        seen.extend(ours);
    }
    seen.sort();
    let mut all = folders.to_vec();
    all.sort();
    assert_eq!(seen, all);
}

#[test]
fn a_folder_that_is_another_one_by_now_is_not_shared() {
    let home = Home::new();
    machine::create(&home);
    let (work, safe) = (folder(&home, "work"), folder(&home, "safe"));
    add(&home, "--rw", &work);
    let away = work.with_file_name("away");
    fs::rename(&work, &away).unwrap();
    let start = || home.run(&["start", "--no-wait", "vm"]);
    let ran = start();
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert!(
        ran.err.contains("there is no folder") && ran.err.contains("`ai-vm share rm vm /"),
        "{}",
        ran.err
    );
    for (target, code, said) in
        [("/etc", 2, "belongs to the system"), (safe.to_str().unwrap(), 1, "leads to")]
    {
        symlink(target, &work).unwrap();
        let ran = start();
        assert_eq!(ran.code, code, "{target}: {}", ran.err);
        assert!(ran.err.contains(said) && ran.err.contains("`ai-vm share rm vm /"), "{target}: {}", ran.err);
        assert_eq!(home.state(), "stopped");
        fs::remove_file(&work).unwrap();
    }
    // It holds a secret by now.
    fs::create_dir_all(work.join(".ssh")).unwrap();
    let ran = start();
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(ran.err.contains("--i-know"), "{}", ran.err);
    home.ok(&["share", "add", "vm", "--rw", work.to_str().unwrap(), "--i-know"]);
    machine::start(&home);
}

#[test]
fn an_edited_record_is_read_with_care() {
    let home = Home::new();
    machine::create(&home);
    let work = folder(&home, "work");
    add(&home, "--ro", &work);
    let file = home.vm("vm").join("vm.toml");
    let text = fs::read_to_string(&file).unwrap();
    for (from, to, said) in [
        ("name = \"work\"", "name = \"../../etc\"", "cannot be called"),
        ("mode = \"ro\"", "mode = \"rx\"", "unknown variant"),
        (work.to_str().unwrap(), "work", "absolute"),
    ] {
        fs::write(&file, text.replace(from, to)).unwrap();
        assert_eq!(home.state(), "broken", "{to}");
        assert!(home.list()[0]["problem"].as_str().unwrap().contains(said), "{:?}", home.list()[0]);
    }
    // What may never be shared is not shared either when it is written there.
    fs::write(&file, text.replace(work.to_str().unwrap(), "/proc")).unwrap();
    let ran = home.run(&["start", "--no-wait", "vm"]);
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(ran.err.contains("is never shared"), "{}", ran.err);
}

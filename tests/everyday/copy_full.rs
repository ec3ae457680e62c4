//! A disk that is full at the destination: it is said, what was there stays, and nothing of the copy does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::copy::{PATIENCE, names, not_tested};
use crate::home::{Ran, finish, wait};
use crate::sshd::Guest;

/// A disk of 4 MiB that only one process sees, and those that are sent to where it is. Dropped, it is gone.
struct SmallDisk {
    keeper: Child,
    at: PathBuf,
}

impl SmallDisk {
    /// Mounts it on a directory; `None` when the kernel does not let us.
    fn mount(at: &Path) -> Option<Self> {
        let script = "mount -t tmpfs -o size=4m,nr_inodes=100 tmpfs \"$0\" && echo old >\"$0/old\" && echo up && exec sleep 600";
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script]).arg(at).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut keeper = command.spawn().unwrap();
        let mut said = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(keeper.stdout.take().unwrap()), &mut said)
            .unwrap();
        if said != "up\n" {
            keeper.wait().unwrap();
            return None;
        }
        Some(Self { keeper, at: at.to_owned() })
    }

    /// What is on it, seen from here.
    fn path(&self) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.keeper.id()));
        root.join(self.at.strip_prefix("/").unwrap())
    }

    /// What has to be put before a command so that it sees the disk.
    fn enter(&self) -> [String; 2] {
        ["nsenter".to_owned(), format!("--mount=/proc/{}/ns/mnt", self.keeper.id())]
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        self.keeper.kill().unwrap();
        self.keeper.wait().unwrap();
    }
}

/// A VM with a small disk at `small` in its home directory, which is also one here, and a file and a tree that do not fit.
struct Case {
    guest: Guest,
    disk: SmallDisk,
}

impl Case {
    fn new() -> Option<Self> {
        let mut guest = Guest::silent();
        let dir = guest.home.dir().to_owned();
        fs::create_dir(dir.join("small")).unwrap();
        let Some(disk) = SmallDisk::mount(&dir.join("small")) else {
            not_tested("only root may mount a small disk");
            return None;
        };
        guest.start_server(&format!(
            "ForceCommand {} sh -c \"$SSH_ORIGINAL_COMMAND\"",
            disk.enter().join(" ")
        ));
        fs::write(dir.join("big"), vec![7; 16 << 20]).unwrap();
        fs::create_dir(dir.join("tree")).unwrap();
        for number in 0..40 {
            fs::write(dir.join(format!("tree/{number}")), vec![7; 200_000]).unwrap();
        }
        Some(Self { guest, disk })
    }

    /// Copies where the disk is seen from here as well.
    fn cp(&self, args: &[&str]) -> Ran {
        let command = self.guest.home.command(&[&["cp"], args].concat());
        let [nsenter, ns] = self.disk.enter();
        let mut inside = Command::new(nsenter);
        inside
            .args([&ns, "sh", "-c", "cd \"$0\" && exec \"$@\""])
            .arg(self.guest.home.dir())
            .arg(command.get_program())
            .args(command.get_args());
        for (name, value) in command.get_envs() {
            value.map(|value| inside.env(name, value));
        }
        inside.stdin(Stdio::null());
        finish(inside, PATIENCE)
    }

    fn expect_full(&self, ran: &Ran, args: &[&str], path: &str, left: &[&str]) {
        assert_eq!(ran.code, 1, "{args:?}: {}", ran.err);
        assert!(ran.err.starts_with("error: ") && ran.err.contains(path), "{args:?}: {}", ran.err);
        assert!(
            ran.err.contains("No space left on device") && ran.err.contains("hint: "),
            "{args:?}: {}",
            ran.err
        );
        assert!(ran.err.lines().count() < 6, "{args:?}: {}", ran.err);
        assert_eq!(names(&self.disk.path()), left, "{args:?}");
        assert_eq!(fs::read(self.disk.path().join("old")).unwrap(), b"old\n", "{args:?}");
    }
}

#[test]
fn a_full_disk_in_a_vm_is_said_and_left_as_it_was() {
    let Some(case) = Case::new() else { return };
    for (args, path) in [
        (&["big", "vm:small"][..], "./small"),
        (&["big", "vm:small/old"], "./small/old"),
        (&["-r", "tree", "vm:small"], "./small"),
        (&["-r", "tree", "vm:small/new"], "./small/new"),
        (&["-ru", "tree", "vm:small"], "./small"),
        (&["vm:big", "vm:small/new"], "./small/new"),
    ] {
        let ran = case.cp(args);
        case.expect_full(&ran, args, path, &["old"]);
    }
    let mut command = case.guest.home.command(&["cp", "-", "vm:small/new"]);
    command.stdin(fs::File::open(case.guest.home.dir().join("big")).unwrap());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    case.expect_full(&wait(child, PATIENCE, "cp -"), &["-"], "./small/new", &["old"]);
}

#[test]
fn a_full_disk_here_is_said_and_the_old_file_stays() {
    let Some(case) = Case::new() else { return };
    for (args, path) in [
        (&["vm:big", "small"][..], "small/big"),
        (&["vm:big", "small/new"], "small/new"),
        (&["vm:big", "small/old"], "small/old"),
    ] {
        let ran = case.cp(args);
        case.expect_full(&ran, args, path, &["old"]);
    }
    // Of many files those that fit are there, each of them whole.
    let ran = case.cp(&["-r", "vm:tree", "small"]);
    case.expect_full(&ran, &["-r"], "small/tree/", &["old", "tree"]);
    let tree = case.disk.path().join("tree");
    assert!(names(&tree).len() > 5);
    for name in names(&tree) {
        assert_eq!(fs::read(tree.join(&name)).unwrap(), vec![7; 200_000], "{name:?}");
    }
}

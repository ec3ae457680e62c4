//! Files go between this machine and a Debian guest, whose user is an ordinary one.

use std::process::Command;
use std::time::Duration;

use crate::debian::sh;
use crate::home::{Home, finish};

/// What `find` says of a tree: kind, mode, time, size of files, name, target.
const LISTING: &str =
    "find . -printf '%y %m %T@ %P %l\\n' | sort; find . -type f -exec sha256sum {} + | sort -k 2";

pub fn a_tree_goes_in_and_out(home: &Home) {
    let dir = home.dir().join("copying");
    std::fs::create_dir(&dir).unwrap();
    let here = |script: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", script]).current_dir(&dir).env("LC_ALL", "C");
        let ran = finish(command, Duration::from_secs(60));
        assert_eq!(ran.code, 0, "{script}: {}", ran.err);
        ran.out
    };
    let cp = |args: &[&str]| {
        let mut command = home.command(&[&["cp"], args].concat());
        command.current_dir(&dir);
        let ran = finish(command, Duration::from_secs(60));
        assert_eq!(ran.code, 0, "ai-vm cp {args:?}: {}", ran.err);
        ran.err
    };
    here(
        "mkdir -p tree/sub/locked && cd tree && seq 100000 > numbers && echo x > 'sub/a b' && : > sub/empty \\
         && printf x > sub/locked/file && ln -s ../numbers sub/link && chmod 755 numbers && truncate -s 5M hole \\
         && touch -d '2001-02-03 04:05:06.789' numbers sub/locked && chmod 500 sub/locked && touch -d 2002-02-02 .",
    );
    let tree = here(&format!("cd tree && {LISTING}"));
    let there = |dir: &str| sh(home, &format!("export LC_ALL=C; cd {dir} && {LISTING}"));
    cp(&["-r", "tree", "web:work"]);
    assert_eq!(there("work"), tree);
    // Owned by who logs in.
    assert_eq!(sh(home, "find work ! -user dev"), "");
    cp(&["-r", "web:work", "back"]);
    assert_eq!(here(&format!("cd back && {LISTING}")), tree);
    // The same again: nothing is sent, neither way.
    let inodes = "find . -type f -printf '%i %P\\n' | sort";
    let (before, before_here) =
        (sh(home, &format!("cd work && {inodes}")), here(&format!("cd back && {inodes}")));
    for (way, dir) in [(["tree/.", "web:work"], "in"), (["web:work/.", "back"], "out")] {
        let said = cp(&["-ru", "-j", "1", way[0], way[1]]);
        assert_eq!(said, "web: nothing to copy\n", "{dir}");
    }
    assert_eq!(sh(home, &format!("cd work && {inodes}")), before);
    assert_eq!(here(&format!("cd back && {inodes}")), before_here);
    // What changed is copied, what is gone is removed, also where a directory may not be written to.
    here(
        "cd tree && echo changed > sub/empty && rm numbers && chmod 700 sub/locked && rm sub/locked/file && chmod 500 sub/locked",
    );
    cp(&["-ru", "--delete", "tree/.", "web:work"]);
    cp(&["-ru", "--delete", "web:work/.", "back"]);
    let list = "find . -printf '%y %m %P %l\\n' | sort; find . -type f -exec sha256sum {} + | sort -k 2";
    let tree = here(&format!("cd tree && {list}"));
    assert_eq!(sh(home, &format!("export LC_ALL=C; cd work && {list}")), tree);
    assert_eq!(here(&format!("cd back && {list}")), tree);
    // Nothing of the way is left; and a whole directory of root's is refused in one message.
    assert_eq!(sh(home, "find . -name '.ai-vm-cp*'"), "");
    let ran = home.run(&["cp", &dir.join("tree/hole").display().to_string(), "web:/etc/hole"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(
        ran.err.contains("cannot copy to `/etc/hole`") && ran.err.contains("Permission denied"),
        "{}",
        ran.err
    );
}

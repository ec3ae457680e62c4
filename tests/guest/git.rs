//! Work goes into a Debian guest and comes back by git.

use std::process::Command;
use std::time::Duration;

use crate::debian::sh;
use crate::home::{Home, finish};

pub fn work_goes_there_and_comes_back(home: &Home) {
    let dir = home.dir().join("git/app");
    std::fs::create_dir_all(&dir).unwrap();
    let here = |script: &str| {
        let mut command = Command::new("sh");
        command.args(["-ec", script]).current_dir(&dir).env("GIT_CONFIG_GLOBAL", "/dev/null");
        let ran = finish(command, Duration::from_secs(60));
        assert_eq!(ran.code, 0, "{script}: {}", ran.err);
        ran.out
    };
    let ai_vm = |args: &[&str]| {
        let mut command = home.command(args);
        command.current_dir(&dir).env("GIT_CONFIG_GLOBAL", "/dev/null");
        let ran = finish(command, Duration::from_secs(120));
        assert_eq!(ran.code, 0, "{args:?}: {}", ran.err);
        ran
    };
    here(
        "git init -q -b main && git config user.name Dev && git config user.email dev@localhost && seq 10000 > numbers \
         && git add . && git commit -qm first",
    );
    assert!(ai_vm(&["push", "web"]).err.contains("is checked out in ~/app"));
    // Commits are the user's there, and an agent need not be told so.
    sh(home, "cd app && echo work > work && git add . && git commit -qm 'some work' && echo more >> numbers");
    let diff = ai_vm(&["diff", "web", "--working"]).out;
    assert!(diff.contains("+work\n") && diff.contains("+more\n"), "{diff}");
    let fetched = ai_vm(&["fetch", "web"]);
    assert!(
        fetched.err.contains("1 new commit") && fetched.out.contains(" some work\n"),
        "{}{}",
        fetched.err,
        fetched.out
    );
    assert_eq!(here("git merge -q ai-vm-web/HEAD && git log -1 --format=%an && cat work"), "Dev\nwork\n");
    sh(home, "cd app && git checkout -q numbers");
    here("echo back > back && git add . && git commit -qm back");
    ai_vm(&["push", "web"]);
    assert_eq!(sh(home, "cat app/back && git -C app status --porcelain"), "back\n");
}

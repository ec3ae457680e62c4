//! `rebuild` around a nixos-rebuild that stands in: it makes the system that the test has prepared current.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use crate::stage::{Stage, ok, stderr};

/// A VM that runs `system-1`; a rebuild makes `system-2` current, which has another kernel if `other` says so.
fn guest(other: bool) -> Stage {
    let stage = Stage::new();
    for (system, kernel) in [("system-1", "6.12"), ("system-2", if other { "6.13" } else { "6.12" })] {
        for part in ["kernel", "initrd", "kernel-modules"] {
            let target = stage.write(&format!("store/{part}-{kernel}"), kernel);
            std::fs::create_dir_all(stage.path(system)).unwrap();
            symlink(target, stage.path(system).join(part)).unwrap();
        }
        stage.write(&format!("{system}/kernel-params"), "panic=1");
    }
    for link in ["current", "booted", "profile"] {
        symlink(stage.path("system-1"), stage.path(link)).unwrap();
    }
    stage.write("nixos/flake.nix", "{ }\n");
    stage.program(
        "nixos-rebuild",
        r#"printf '%s\n' "$@" >"$STAGE/arguments"
if [ "${FAIL-0}" = 0 ] || [ "${FAIL-0}" = 4 ]; then
  case $1 in
    switch) ln -sfn "$STAGE/${NEXT-system-2}" "$STAGE/current"; ln -sfn "$STAGE/${NEXT-system-2}" "$STAGE/profile" ;;
    test) ln -sfn "$STAGE/system-2" "$STAGE/current" ;;
    boot) ln -sfn "$STAGE/system-2" "$STAGE/profile" ;;
  esac
fi
exit "${FAIL-0}""#,
    );
    stage.program("nix", r#"echo "jq: 1.7 -> 1.8"; printf '%s\n' "$@" >"$STAGE/compared""#);
    stage
}

fn rebuild(stage: &Stage) -> Command {
    let mut script = stage.script("rebuild.sh");
    script
        .env("AI_VM_NO_SUDO", "1")
        .env("AI_VM_CONFIGURATION", stage.path("nixos"))
        .env("AI_VM_CURRENT_SYSTEM", stage.path("current"))
        .env("AI_VM_BOOTED_SYSTEM", stage.path("booted"))
        .env("AI_VM_PROFILE", stage.path("profile"));
    script
}

fn git(dir: &Path, arguments: &[&str]) -> Output {
    ok(Command::new("git").arg("-C").arg(dir).args(arguments))
}

fn arguments(stage: &Stage) -> Vec<String> {
    stage.read("arguments").lines().map(str::to_owned).collect()
}

#[test]
fn it_switches_and_says_what_changed() {
    let stage = guest(false);
    let output = ok(rebuild(&stage).args(["--option", "cores", "2"]));
    let flake = format!("path:{}#vm", stage.path("nixos").display());
    assert_eq!(arguments(&stage), ["switch", "--flake", &flake, "--option", "cores", "2"]);
    let said = stderr(&output);
    assert!(
        said.contains("what changed:\njq: 1.7 -> 1.8\n") && said.contains("no restart is needed"),
        "{said}"
    );
    let compared = stage.read("compared");
    assert!(compared.contains("system-1\n") && compared.ends_with("system-2\n"), "{compared}");
    // Data goes to stdout, and there is none.
    assert_eq!(output.stdout, b"");
}

#[test]
fn a_new_kernel_asks_for_a_restart() {
    let stage = guest(true);
    let said = stderr(&ok(&mut rebuild(&stage)));
    assert!(said.contains("a restart is needed for: kernel initrd kernel-modules\n"), "{said}");
}

#[test]
fn other_kernel_parameters_ask_for_a_restart() {
    let stage = guest(false);
    stage.write("system-2/kernel-params", "panic=2");
    let said = stderr(&ok(&mut rebuild(&stage)));
    assert!(said.contains("a restart is needed for: kernel-params\n"), "{said}");
}

#[test]
fn nothing_changed_is_said_too() {
    let stage = guest(false);
    let said = stderr(&ok(rebuild(&stage).env("NEXT", "system-1")));
    assert!(said.contains("nothing changed") && said.contains("no restart is needed"), "{said}");
    assert!(!stage.path("compared").exists());
}

#[test]
fn boot_compares_what_will_be_booted() {
    let stage = guest(false);
    let said = stderr(&ok(rebuild(&stage).arg("boot")));
    assert!(
        said.contains("what changed:") && said.contains("a restart is needed: the running system"),
        "{said}"
    );
}

#[test]
fn its_exit_code_is_that_of_nixos_rebuild() {
    for code in [1, 4, 100] {
        let stage = guest(false);
        git(&stage.path("nixos"), &["init", "--quiet"]);
        let output = rebuild(&stage).env("FAIL", code.to_string()).output().unwrap();
        assert_eq!(output.status.code(), Some(code));
        let said = stderr(&output);
        assert!(said.contains(&format!("failed with exit code {code}")), "{said}");
        // With 4 the system is there although some unit did not start: what changed is worth knowing all the more.
        assert_eq!(said.contains("what changed:"), code == 4, "{said}");
        let log = Command::new("git")
            .arg("-C")
            .arg(stage.path("nixos"))
            .args(["rev-parse", "HEAD"])
            .output()
            .unwrap();
        assert!(!log.status.success(), "a failed rebuild was committed");
    }
}

#[test]
fn what_was_applied_is_committed() {
    let stage = guest(false);
    let nixos = stage.path("nixos");
    git(&nixos, &["init", "--quiet"]);
    stage.write("nixos/new file.nix", "{ }\n");
    let said = stderr(&ok(&mut rebuild(&stage)));
    assert!(said.contains("is at commit "), "{said}");
    assert_eq!(git(&nixos, &["log", "--format=%an %s"]).stdout, b"ai-vm switch system-2\n");
    assert_eq!(git(&nixos, &["status", "--porcelain"]).stdout, b"");
    // Nothing new, so no second commit; and who commits is the user's to say.
    ok(&mut rebuild(&stage));
    git(&nixos, &["config", "user.email", "me@example.org"]);
    git(&nixos, &["config", "user.name", "Me"]);
    stage.write("nixos/flake.nix", "{ a = 1; }\n");
    ok(&mut rebuild(&stage));
    assert_eq!(git(&nixos, &["log", "--format=%an"]).stdout, b"Me\nai-vm\n");
}

#[test]
fn a_commit_that_fails_does_not_make_the_rebuild_fail() {
    let stage = guest(false);
    git(&stage.path("nixos"), &["init", "--quiet"]);
    stage.write("nixos/.git/index.lock", "");
    let output = ok(&mut rebuild(&stage));
    assert!(stderr(&output).contains("could not be committed"), "{output:?}");
}

#[test]
fn only_looking_changes_and_commits_nothing() {
    let stage = guest(false);
    git(&stage.path("nixos"), &["init", "--quiet"]);
    let said = stderr(&ok(rebuild(&stage).arg("dry-activate")));
    assert_eq!(arguments(&stage)[0], "dry-activate");
    assert!(!said.contains("changed") && !said.contains("restart") && !said.contains("commit"), "{said}");
}

#[test]
fn what_it_does_not_know_is_refused() {
    let stage = guest(false);
    let output = rebuild(&stage).arg("swich").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(!stage.path("arguments").exists());
    std::fs::remove_file(stage.path("nixos/flake.nix")).unwrap();
    let output = rebuild(&stage).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("systemctl start ai-vm-configuration"));
    assert!(!stage.path("arguments").exists());
    let help = ok(rebuild(&stage).arg("--help"));
    assert!(String::from_utf8(help.stdout).unwrap().starts_with("Usage: rebuild"));
}

#[test]
fn it_becomes_root_by_sudo_with_the_same_arguments() {
    let stage = guest(false);
    stage.program("sudo", r#"printf '%s\n' "$@" >"$STAGE/sudo""#);
    // The shell of the test may be root's, for whom there is nothing to become.
    if rustix::process::geteuid().is_root() {
        return;
    }
    ok(rebuild(&stage).env_remove("AI_VM_NO_SUDO").args(["boot", "--option", "a b", ""]));
    assert!(stage.read("sudo").ends_with("\nboot\n--option\na b\n\n"));
}

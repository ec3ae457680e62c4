//! /etc/nixos is made once, whole, and never again.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::nix::libraries;
use crate::stage::{Stage, Template, ok, stderr};

fn git(dir: &Path, arguments: &[&str]) -> String {
    let output = ok(Command::new("git").arg("-C").arg(dir).args(["-c", "safe.directory=*"]).args(arguments));
    String::from_utf8(output.stdout).unwrap()
}

fn set_up(stage: &Stage, template: &Template, repository: &str) -> Command {
    let mut script = stage.script("setup-configuration.sh");
    script.arg(template.dir()).arg(stage.path("etc/nixos")).arg(repository);
    script
}

/// A template whose files nobody may write, as those of the store.
fn template() -> Template {
    let template = Template::of(&libraries()[0], &json!({ "name": "web" }));
    ok(Command::new("chmod").args(["-R", "a-w"]).arg(template.dir()));
    template
}

fn unlock(template: &Template) {
    ok(Command::new("chmod").args(["-R", "u+w"]).arg(template.dir()));
}

#[test]
fn it_appears_whole_with_a_first_commit() {
    let (stage, template) = (Stage::new(), template());
    std::fs::create_dir(stage.path("etc")).unwrap();
    ok(&mut set_up(&stage, &template, "git"));
    let nixos = stage.path("etc/nixos");
    for file in [
        "README.md",
        "configuration.nix",
        "flake.lock",
        "flake.nix",
        "hardware-configuration.nix",
        "modules/guest/default.nix",
        "modules/lib/spec.nix",
        "modules/scripts/rebuild.sh",
        "vm.json",
    ] {
        let mode = std::fs::metadata(nixos.join(file))
            .unwrap_or_else(|why| panic!("{file}: {why}"))
            .permissions()
            .mode();
        assert_ne!(mode & 0o200, 0, "{file} cannot be changed");
    }
    let spec: Value = serde_json::from_str(&stage.read("etc/nixos/vm.json")).unwrap();
    assert_eq!(
        (&spec["name"], &spec["ram"], &spec["stateVersion"]),
        (&json!("web"), &json!("8192mb"), &json!("26.11"))
    );
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(stage.read("etc/nixos/hostname"), hostname);
    assert_eq!(git(&nixos, &["status", "--porcelain"]), "");
    assert_eq!(git(&nixos, &["log", "--format=%s%n%an"]), "As ai-vm made it\nai-vm\n");
    // Nothing is left beside it.
    assert_eq!(std::fs::read_dir(stage.path("etc")).unwrap().count(), 1);
    unlock(&template);
}

#[test]
fn it_is_never_made_again() {
    let (stage, template) = (Stage::new(), template());
    std::fs::create_dir(stage.path("etc")).unwrap();
    ok(&mut set_up(&stage, &template, "git"));
    stage.write("etc/nixos/configuration.nix", "{ }\n");
    std::fs::remove_file(stage.path("etc/nixos/README.md")).unwrap();
    ok(&mut set_up(&stage, &template, "git"));
    assert_eq!(stage.read("etc/nixos/configuration.nix"), "{ }\n");
    assert!(!stage.path("etc/nixos/README.md").exists());
    assert_eq!(git(&stage.path("etc/nixos"), &["log", "--format=%s"]).lines().count(), 1);
    unlock(&template);
}

#[test]
fn it_is_no_repository_where_none_is_wanted() {
    let (stage, template) = (Stage::new(), template());
    // An empty directory is as good as none.
    std::fs::create_dir_all(stage.path("etc/nixos")).unwrap();
    ok(&mut set_up(&stage, &template, "plain"));
    assert!(stage.path("etc/nixos/flake.nix").exists() && !stage.path("etc/nixos/.git").exists());
    unlock(&template);
}

#[test]
fn what_somebody_has_there_stays() {
    let (stage, template) = (Stage::new(), template());
    stage.write("etc/nixos/configuration.nix", "mine\n");
    stage.write("etc/nixos/my own/notes.txt", "mine too\n");
    std::os::unix::fs::symlink("/nowhere", stage.path("etc/nixos/README.md")).unwrap();
    let output = ok(&mut set_up(&stage, &template, "git"));
    assert!(stderr(&output).contains("has files already"), "{output:?}");
    assert_eq!(stage.read("etc/nixos/configuration.nix"), "mine\n");
    assert_eq!(stage.read("etc/nixos/my own/notes.txt"), "mine too\n");
    assert!(stage.path("etc/nixos/README.md").is_symlink());
    assert!(
        stage.path("etc/nixos/modules/guest/default.nix").exists()
            && stage.path("etc/nixos/flake.nix").exists()
    );
    assert!(!stage.path("etc/nixos/.git").exists());
    assert_eq!(std::fs::read_dir(stage.path("etc")).unwrap().count(), 1);
    unlock(&template);
}

/// A power cut in the middle leaves no flake.nix, and the next boot makes it whole.
#[test]
fn a_broken_off_beginning_is_begun_again() {
    let (stage, template) = (Stage::new(), template());
    std::fs::create_dir(stage.path("etc")).unwrap();
    stage.program("git", "kill -9 $PPID");
    let killed = set_up(&stage, &template, "git").output().unwrap();
    assert!(!killed.status.success());
    assert!(!stage.path("etc/nixos").exists());
    std::fs::remove_file(stage.path("bin/git")).unwrap();
    ok(&mut set_up(&stage, &template, "git"));
    assert!(stage.path("etc/nixos/.git").exists());
    assert_eq!(std::fs::read_dir(stage.path("etc")).unwrap().count(), 1);
    unlock(&template);
}

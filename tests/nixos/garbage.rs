//! What is deleted in the guest's store, and what must stay.

use std::os::unix::fs::FileTypeExt;
use std::process::Command;

use crate::stage::{Stage, ok, stderr};

/// Makes a whiteout as overlayfs does; a user may where the kernel lets them (5.8 and later).
fn whiteout(stage: &Stage, below: &str) {
    ok(Command::new("mknod").arg(stage.path(below)).args(["c", "0", "0"]));
}

#[test]
fn paths_of_the_host_become_visible_again() {
    let stage = Stage::new();
    stage.write("upper/aaaa-built/bin/built", "built");
    stage.write("upper/bbbb-file", "file");
    stage.write("upper/.links/x", "link");
    std::os::unix::fs::symlink("aaaa-built", stage.path("upper/cccc-link")).unwrap();
    for name in ["upper/dddd-hidden", "upper/.eeee hidden too", "upper/aaaa-built/inner"] {
        whiteout(&stage, name);
    }
    let output = ok(stage.script("clean-overlay.sh").arg(stage.path("upper")));
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "ai-vm: 2 paths of the host's store are visible again\n"
    );
    let mut left: Vec<_> = std::fs::read_dir(stage.path("upper"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, [".links", "aaaa-built", "bbbb-file", "cccc-link"]);
    // Inside a path that the guest has made, a whiteout is part of what it made.
    assert!(
        std::fs::symlink_metadata(stage.path("upper/aaaa-built/inner")).unwrap().file_type().is_char_device()
    );
    // Nothing to do is nothing to say, and a first boot has no upper layer yet.
    assert_eq!(ok(stage.script("clean-overlay.sh").arg(stage.path("upper"))).stdout, b"");
    assert_eq!(ok(stage.script("clean-overlay.sh").arg(stage.path("none"))).stdout, b"");
}

fn collect(stage: &Stage) -> Command {
    let mut script = stage.script("collect-garbage.sh");
    script
        .env("AI_VM_NO_SUDO", "1")
        .env("AI_VM_UPPER", stage.path("upper"))
        .env("AI_VM_LOWER", stage.path("lower"))
        .env("AI_VM_PROFILE", stage.path("profile"));
    script
}

/// Nix takes everything of the host for garbage; what it is told to delete is only the guest's.
fn store() -> Stage {
    let stage = Stage::new();
    stage.write("upper/aaaa-own/x", "");
    stage.write("upper/bbbb-own-file", "");
    stage.write("upper/cccc-both/x", "");
    stage.write("lower/cccc-both/x", "");
    stage.write("lower/dddd-host/x", "");
    stage.write("lower/eeee-hidden/x", "");
    whiteout(&stage, "upper/eeee-hidden");
    whiteout(&stage, "upper/gggg-hidden-and-gone");
    stage.write("upper/.links/aaaa", "");
    stage.write("profile", "");
    stage.program(
        "nix-store",
        r#"case "$1 $2" in
  '--gc --print-dead')
    for name in aaaa-own bbbb-own-file cccc-both dddd-host eeee-hidden ffff-gone gggg-hidden-and-gone ../etc .links/aaaa; do
      echo "/nix/store/$name"
    done
    echo /etc/passwd ;;
  --delete*) shift; printf '%s\n' "$@" >"$STAGE/deleted" ;;
esac"#,
    );
    stage.program("nix-env", r#"printf '%s\n' "$@" >"$STAGE/generations""#);
    stage
}

#[test]
fn only_what_the_guest_made_is_deleted() {
    let stage = store();
    ok(&mut collect(&stage));
    assert_eq!(stage.read("deleted"), "/nix/store/aaaa-own\n/nix/store/bbbb-own-file\n");
    assert!(stage.read("generations").ends_with("--delete-generations\n+1\n"));
    ok(collect(&stage).arg("5"));
    assert!(stage.read("generations").ends_with("--delete-generations\n+5\n"));
}

#[test]
fn what_is_no_number_of_generations_deletes_nothing() {
    for wrong in ["0", "-1", "all", "1; rm", "+2"] {
        let stage = store();
        let output = collect(&stage).arg(wrong).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{wrong}: {}", stderr(&output));
        assert!(!stage.path("deleted").exists() && !stage.path("generations").exists());
    }
}

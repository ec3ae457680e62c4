//! Who a VM is, from the credentials of its launch, and without any.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::stage::{Stage, ok};

/// A guest whose users are those named in `users`; who is added is written down.
fn guest(users: &[&str]) -> Stage {
    let stage = Stage::new();
    stage.write("users", &users.join("\n"));
    stage.program("id", r#"grep -qx "$1" "$STAGE/users""#);
    stage.program("getent", r#"[ "$2" = 1000 ]"#);
    stage.program(
        "useradd",
        r#"printf '%s\n' "$@" >"$STAGE/added"; for name; do :; done; echo "$name" >>"$STAGE/users""#,
    );
    stage.program(
        "ssh-keygen",
        r#"for file; do :; done; echo own >"$file"; echo public >"$file.pub"; echo x >>"$STAGE/generated""#,
    );
    std::fs::create_dir(stage.path("given")).unwrap();
    stage
}

/// The credentials that ai-vm gives at launch.
fn launch(stage: &Stage, boot: &str) {
    for (name, value) in [
        ("system.hostname", "web"),
        ("ai-vm.user", "dev"),
        ("ai-vm.uid", "1001"),
        ("ai-vm.authorized_keys", "ssh-ed25519 A\n"),
        ("ai-vm.ssh_host_ed25519_key", "host key\n"),
        ("ai-vm.boot", boot),
    ] {
        stage.write(&format!("given/{name}"), value);
    }
}

fn identity(stage: &Stage) -> Command {
    let mut script = stage.script("identity.sh");
    script
        .env("AI_VM_CREDENTIALS", stage.path("given"))
        .env("AI_VM_RUN", stage.path("run"))
        .env("AI_VM_STATE", stage.path("state"))
        .env("AI_VM_LINGER", stage.path("linger"))
        .env("AI_VM_CONFIGURATION", stage.path("nixos"));
    script
}

fn mode(stage: &Stage, below: &str) -> u32 {
    std::fs::metadata(stage.path(below)).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_vm_is_who_its_host_says() {
    let stage = guest(&["dev"]);
    launch(&stage, "boot-1");
    ok(&mut identity(&stage));
    assert_eq!(stage.read("run/authorized_keys/dev"), "ssh-ed25519 A\n");
    assert_eq!(stage.read("run/ssh_host_ed25519_key"), "host key\n");
    assert!(stage.path("linger/dev").exists());
    assert_eq!((stage.read("run/boot"), mode(&stage, "run/boot")), ("boot-1".to_owned(), 0o444));
    assert_eq!(mode(&stage, "run/ssh_host_ed25519_key"), 0o600);
    assert_eq!(stage.read("run/user"), "dev\n");
    assert!(!stage.path("added").exists() && !stage.path("generated").exists());
}

#[test]
fn a_user_that_the_build_does_not_have_is_made() {
    let stage = guest(&["somebody"]);
    launch(&stage, "boot-1");
    ok(&mut identity(&stage));
    let added = stage.read("added");
    assert!(added.contains("--groups\nwheel\n--uid\n1001\n") && added.ends_with("\ndev\n"), "{added}");
    // A uid that somebody has is not taken from them.
    let stage = guest(&["somebody"]);
    launch(&stage, "boot-1");
    stage.write("given/ai-vm.uid", "1000");
    ok(&mut identity(&stage));
    assert!(!stage.read("added").contains("--uid"));
}

#[test]
fn the_marker_comes_last() {
    let stage = guest(&["dev"]);
    launch(&stage, "boot-1");
    // Whatever cannot be done, nobody is told that it was.
    for missing in ["ai-vm.authorized_keys", "ai-vm.ssh_host_ed25519_key"] {
        std::fs::remove_file(stage.path("given").join(missing)).unwrap();
        std::fs::create_dir(stage.path("given").join(missing)).unwrap();
    }
    stage.program("ssh-keygen", "exit 1");
    assert!(!identity(&stage).output().unwrap().status.success());
    assert!(!stage.path("run/boot").exists());
}

#[test]
fn keys_changed_since_the_launch_count_for_its_boot_alone() {
    let stage = guest(&["dev"]);
    launch(&stage, "boot-1");
    stage.write("state/authorized_keys.boot-0", "ssh-ed25519 OLD\n");
    stage.write("state/authorized_keys.boot-1", "ssh-ed25519 B\n");
    ok(&mut identity(&stage));
    assert_eq!(stage.read("run/authorized_keys/dev"), "ssh-ed25519 B\n");
    assert!(!stage.path("state/authorized_keys.boot-0").exists());
    // A reboot inside the VM finds them again; the next launch throws them away.
    ok(&mut identity(&stage));
    assert_eq!(stage.read("run/authorized_keys/dev"), "ssh-ed25519 B\n");
    launch(&stage, "boot-2");
    ok(&mut identity(&stage));
    assert_eq!(stage.read("run/authorized_keys/dev"), "ssh-ed25519 A\n");
    assert!(!stage.path("state/authorized_keys.boot-1").exists());
}

#[test]
fn without_credentials_it_has_a_host_key_of_its_own() {
    let stage = guest(&["dev"]);
    ok(&mut identity(&stage));
    assert_eq!(stage.read("run/ssh_host_ed25519_key"), "own\n");
    assert!(!stage.path("run/boot").exists() && !stage.path("run/user").exists());
    // The same at every boot.
    ok(&mut identity(&stage));
    assert_eq!(stage.read("generated"), "x\n");
    // Half a key of a power cut is made anew.
    stage.write("state/ssh_host_ed25519_key", "");
    ok(&mut identity(&stage));
    assert_eq!(stage.read("run/ssh_host_ed25519_key"), "own\n");
}

#[test]
fn the_configuration_answers_to_the_host_name() {
    let stage = guest(&["dev"]);
    launch(&stage, "boot-1");
    ok(&mut identity(&stage));
    assert!(!stage.path("nixos").exists());
    stage.write("nixos/hostname", "before\n");
    ok(&mut identity(&stage));
    assert_eq!(stage.read("nixos/hostname"), "web\n");
    stage.write("given/system.hostname", "a\"; builtins.abort \"b");
    ok(&mut identity(&stage));
    assert_eq!(stage.read("nixos/hostname"), "web\n");
}

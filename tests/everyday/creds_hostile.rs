//! What guests can answer when they are asked for their login: nothing of it changes anything here, or in other guests, or
//! is overwritten where it is.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};

use crate::creds::{Copies, HOURS, account, in_seconds, login};
use crate::fleet::Fleet;

/// Asks `a` in both ways, and proves that all is as it was but for what is said.
fn refused(it: &Copies, about: &str, said: &str) {
    let host = fs::read(it.host_file()).unwrap();
    let what = |path: &Path| {
        let meta = fs::symlink_metadata(path).ok()?;
        let content =
            if meta.is_file() && meta.len() < 1 << 20 { fs::read(path).unwrap() } else { Vec::new() };
        Some((meta.file_type(), meta.len(), content))
    };
    let there = what(&it.file("a"));
    for verb in ["push", "pull"] {
        let ran = it.creds(&[verb, "a", "--timeout", "20"]);
        assert_ne!(ran.code, 0, "{about}: {verb}: {}", ran.err);
        assert!(ran.err.contains(said), "{about}: {verb}: {}", ran.err);
        assert!(!ran.err.contains('\u{1b}') && !ran.err.contains("CANARY"), "{about}: {}", ran.err);
        assert_eq!(it.kept(), Some(1), "{about}: {verb}");
        assert_eq!(fs::read(it.host_file()).unwrap(), host, "{about}: {verb}");
        assert_eq!((it.has("b"), it.has("c")), (Some(1), Some(1)), "{about}: {verb}");
        assert_eq!(what(&it.file("a")), there, "{about}: {verb} has overwritten what is there");
    }
}

#[test]
fn files_that_are_no_login_of_ours() {
    let it = Copies::logged_in();
    let file = it.file("a");
    let put = |content: &[u8]| fs::write(&file, content).unwrap();
    let newer = || login(2, in_seconds(9 * HOURS));
    let with = |member: &str, value: Value| {
        let mut login = newer();
        login["claudeAiOauth"][member] = value;
        login.to_string()
    };

    put(newer().to_string().as_bytes());
    let state = it.home().dir().join("a/.claude.json");
    fs::write(&state, account("mallory").to_string()).unwrap();
    refused(
        &it,
        "another account",
        "it is that of mallory@example.org (org-mall), not that of me@example.org",
    );
    let status = it.status();
    let row = status["vms"].as_array().unwrap().iter().find(|vm| vm["name"] == "a").unwrap();
    assert_eq!(row["standing"], "conflict", "{row}");
    assert!(it.audit().lines().last().unwrap().contains("a guest->kept"), "{}", it.audit());
    assert!(it.audit().contains(" refused\n"));
    // As people write JSON.
    fs::write(&state, serde_json::to_string_pretty(&account("mallory")).unwrap()).unwrap();
    refused(&it, "another account, indented", "it is that of mallory@example.org");
    fs::remove_file(&state).unwrap();

    put(with("expiresAt", json!(in_seconds(400 * 24 * HOURS))).as_bytes());
    refused(&it, "for ever", "too far away");
    put(with("accessToken", json!("sk-ant-CANARY\u{1b}[2J\u{7}CANARY")).as_bytes());
    refused(&it, "control characters", "`accessToken` is not a token");
    put(with("subscriptionType", json!("CANARY\u{9b}31m")).as_bytes());
    refused(&it, "8-bit control characters", "free of control characters");
    put(b"{\"claudeAiOauth\": {\"accessToken\": \"CANARY");
    refused(&it, "half a file", "not a JSON object");
    put(&[0xff; 3000]);
    refused(&it, "no text", "not a JSON object");
    put(&b"[".repeat(60_000));
    refused(&it, "deep nesting", "not a JSON object");
    put(with("scopes", json!("x".repeat(70_000))).as_bytes());
    refused(&it, "just too large", "more than 65536 bytes");

    // 1 GB, without taking so much room.
    fs::remove_file(&file).unwrap();
    fs::File::create(&file).unwrap().set_len(1 << 30).unwrap();
    let begun = Instant::now();
    refused(&it, "1 GB", "more than 65536 bytes");
    assert!(begun.elapsed().as_secs() < 20);

    fs::remove_file(&file).unwrap();
    symlink("/etc/passwd", &file).unwrap();
    refused(&it, "a link", "it is a link, not a file");
    fs::remove_file(&file).unwrap();
    symlink("nowhere", &file).unwrap();
    refused(&it, "a link to nowhere", "it is a link, not a file");
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    refused(&it, "a directory", "it is something else, not a file");
    fs::remove_dir(&file).unwrap();
    assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
    refused(&it, "a pipe", "it is something else, not a file");
    fs::remove_file(&file).unwrap();

    // What was refused is no hindrance to what comes after it.
    assert_eq!((it.creds(&["push", "a"]).code, it.has("a")), (0, Some(1)));
}

#[test]
fn a_link_in_the_place_of_a_token_is_replaced_and_not_followed() {
    let it = Copies::logged_in();
    let token = it.home().dir().join("token");
    fs::write(&token, "sk-ant-oat01-xxxxxxxxxxxxxxxxxxxx").unwrap();
    let (dir, victim) = (it.home().dir().join("a/.config/ai-vm"), it.home().dir().join("victim"));
    fs::write(&victim, "mine").unwrap();
    fs::create_dir_all(&dir).unwrap();
    symlink(&victim, dir.join("claude-token")).unwrap();
    it.home().ok(&["creds", "set", "a", "--token", token.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
    assert!(fs::symlink_metadata(dir.join("claude-token")).unwrap().is_file());
    fs::remove_file(dir.join("claude-token")).unwrap();
    symlink(&victim, dir.join("claude-token")).unwrap();
    it.home().ok(&["creds", "wipe", "a"]);
    assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
    assert!(fs::symlink_metadata(dir.join("claude-token")).is_err());
}

/// Replaces a program in `a` by a script.
fn plays(it: &Copies, program: &str, body: &str) {
    let bin = it.home().dir().join("a/bin");
    fs::create_dir(&bin).unwrap();
    fs::write(bin.join(program), format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(bin.join(program), PermissionsExt::from_mode(0o755)).unwrap();
}

fn stops_playing(it: &Copies) {
    fs::remove_dir_all(it.home().dir().join("a/bin")).unwrap();
}

#[test]
fn programs_that_lie() {
    let fleet = Fleet::apart();
    // From its first login on, so that a shell that waits on a kept connection finds them too.
    let home = fleet.home.dir().join("a");
    fs::write(home.join(".profile"), format!("PATH='{}':$PATH\n", home.join("bin").display())).unwrap();
    let it = Copies::of(fleet);
    for (program, body, said) in [
        // In the place of the script itself, so that nothing of it is between its output and here.
        (
            "sh",
            "[ \"$3\" != ai-vm-login ] || exec yes CANARYCANARYCANARY; exec /bin/sh \"$@\"",
            "does not come to an end",
        ),
        ("base64", "exec yes CANARYCANARYCANARY >&2", "`a`"),
        // By it the script itself travels on a kept connection, so that there are several ways to fail.
        ("base64", "printf 'e30=\\nlogin none\\n'", "`a`"),
        ("base64", "printf '\\033[2J\\007'", "`a`"),
        ("head", "exec sleep 1000", "did not answer within 5 s"),
        ("tr", "kill -9 $PPID", "`a`"),
    ] {
        plays(&it, program, body);
        for verb in ["pull", "push"] {
            let begun = Instant::now();
            let ran = it.creds(&[verb, "a", "--timeout", "5"]);
            assert!(ran.code != 0 && ran.err.contains(said), "{program} {body}: {verb}: {}", ran.err);
            assert!(!ran.err.contains('\u{1b}') && !ran.err.contains("CANARY"), "{}", ran.err);
            assert!(begun.elapsed().as_secs() < 20, "{program}: {verb}");
            assert_eq!((it.kept(), it.has("a"), it.has("b")), (Some(1), Some(1), Some(1)));
        }
        stops_playing(&it);
    }
    // Others are not kept waiting by one that says nothing, nor is who asks.
    plays(&it, "head", "exec sleep 1000");
    it.write("b", &login(2, in_seconds(9 * HOURS)));
    let ran = it.creds(&["pull", "b"]);
    assert_eq!((ran.code, it.has("c")), (0, Some(2)), "{}", ran.err);
    assert!(ran.err.contains("warning: a: has not got the newest login"), "{}", ran.err);
}

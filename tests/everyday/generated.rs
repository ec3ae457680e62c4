//! What is made from the program's own help: the reference in the repository, and the manual pages of packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::home::{Home, finish};

fn generate(what: &str) -> (Home, PathBuf) {
    let home = Home::new();
    let dir = home.dir().join(what);
    let mut command = Command::new(env!("CARGO_BIN_EXE_ai-vm"));
    // As a package is built: without a home, and in whatever terminal.
    command.args(["generate", what]).arg(&dir).env_remove("HOME").env("COLUMNS", "40");
    let ran = finish(command, Duration::from_secs(60));
    assert_eq!(ran.code, 0, "{}", ran.err);
    (home, dir)
}

#[test]
fn the_reference_is_what_help_says() {
    let (_home, dir) = generate("reference");
    let made = fs::read_to_string(dir.join("reference.md")).unwrap();
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference.md");
    let kept = fs::read_to_string(kept).unwrap_or_default();
    if made != kept {
        let differs = made.lines().zip(kept.lines()).find(|(made, kept)| made != kept);
        panic!(
            "docs/reference.md is stale: make it anew by `cargo run -- generate reference docs` ({differs:?})"
        );
    }
}

#[test]
fn every_verb_has_a_manual_page_that_can_be_read() {
    let (home, dir) = generate("man");
    let help = home.ok(&["--help"]).out;
    let verbs = help.split("Commands:\n").nth(1).unwrap().lines().take_while(|line| !line.is_empty());
    let verbs: Vec<&str> =
        verbs.filter(|line| line.starts_with("  ")).filter_map(|line| line.split("  ").nth(1)).collect();
    assert!(verbs.len() > 20 && verbs.contains(&"up"), "{verbs:?}");
    for verb in verbs.into_iter().filter(|verb| !verb.trim().is_empty()) {
        let page = fs::read_to_string(dir.join(format!("ai-vm-{verb}.1")))
            .unwrap_or_else(|error| panic!("{verb}: {error}"));
        assert!([".SH NAME", ".SH SYNOPSIS", "Examples:"].iter().all(|part| page.contains(part)), "{page}");
    }
    assert!(dir.join("ai-vm.1").exists() && dir.join("ai-vm-creds-set.1").exists());
    let hidden = fs::read_dir(&dir)
        .unwrap()
        .flatten()
        .filter(|page| page.file_name().to_string_lossy().contains("complete"));
    assert_eq!(hidden.count(), 0);
    // Where there is a formatter, it has nothing to say about any of them.
    if Path::new("/usr/bin/groff").exists() {
        let mut groff = Command::new("groff");
        groff
            .args(["-man", "-Tutf8", "-ww", "-z"])
            .args(fs::read_dir(&dir).unwrap().flatten().map(|page| page.path()));
        let ran = finish(groff, Duration::from_secs(60));
        assert!(ran.code == 0 && ran.err.is_empty(), "{}", ran.err);
    }
}

#[test]
fn the_recorded_session_is_what_its_script_types() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let read = |name: &str| fs::read_to_string(docs.join(name)).unwrap();
    let commands = |text: &str| -> Vec<String> {
        text.lines().filter(|line| line.starts_with("$ ")).map(str::to_owned).collect()
    };
    let (script, text, picture) = (read("session.type"), read("session.txt"), read("session.svg"));
    let again = "make it anew by `script/record`";
    assert!(commands(&text).len() > 10 && commands(&text) == commands(&script), "{again}");
    // The picture has the same text, in pieces of one colour, and long lines in several.
    let shown: String =
        picture.split('<').filter_map(|piece| piece.split_once('>')).map(|(_, text)| text).collect();
    let shown = shown.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&");
    let letters = |text: &str| -> String { text.chars().filter(|c| !c.is_whitespace()).collect() };
    assert!(letters(&shown).ends_with(&letters(&text)), "{again}: {shown}");
    assert_eq!(picture.matches("://").count(), 1, "a name space, and nothing that is fetched");
}

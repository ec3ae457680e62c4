//! The form of the Nix files.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::nix;

fn find(dir: &Path, end: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            find(&path, end, found);
        } else if path.extension().is_some_and(|extension| extension == end) {
            found.push(path);
        }
    }
}

fn nix_files() -> Vec<PathBuf> {
    let root = nix::repository();
    let mut found = vec![root.join("flake.nix")];
    find(&root.join("nixos"), "nix", &mut found);
    find(&root.join("tests/nixos"), "nix", &mut found);
    assert!(found.len() > 30, "only {} files were found", found.len());
    found
}

#[test]
fn every_file_parses() {
    for file in nix_files() {
        nix::parse(&file).unwrap_or_else(|why| panic!("{why}"));
    }
}

/// The formatter of Nix is no package of Debian's, so that it often is not there; what can be seen without it is.
#[test]
fn every_file_is_formatted() {
    let files = nix_files();
    for file in &files {
        let text = std::fs::read_to_string(file).unwrap();
        assert!(
            text.ends_with('\n') && !text.ends_with("\n\n"),
            "{} ends otherwise than in one line end",
            file.display()
        );
        for (index, line) in text.lines().enumerate() {
            let at = format!("{}:{}", file.display(), index + 1);
            assert!(!line.contains('\t'), "{at}: a tab");
            assert_eq!(line.trim_end(), line, "{at}: blanks at the end");
            assert!(line.chars().count() <= 150, "{at}: too long");
            let indent = line.len() - line.trim_start().len();
            assert!(indent % 2 == 0 || line.contains("''"), "{at}: indented by {indent}");
        }
        let lines = text.lines().count();
        assert!(
            lines <= 400 || file.ends_with("tests/nixos/unit.nix"),
            "{} has {lines} lines",
            file.display()
        );
    }
    match Command::new("nixfmt").arg("--check").args(&files).output() {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
        Err(_) => {
            nix::note("nixfmt is not installed, so only tabs, blanks, indents and lengths were looked at");
        }
    }
}

#[test]
fn every_file_of_the_guest_says_what_it_is() {
    for file in nix_files().iter().filter(|file| file.to_str().unwrap().contains("/nixos/")) {
        let text = std::fs::read_to_string(file).unwrap();
        assert!(text.starts_with("# "), "{} does not start with what it is", file.display());
    }
}

/// Nothing but ai-vm itself and what it is given is ever asked for over the network.
#[test]
fn the_flakes_name_no_stranger() {
    let root = nix::repository();
    for (file, urls) in [
        ("flake.nix", vec!["github:NixOS/nixpkgs/nixos-unstable"]),
        ("nixos/guest-flake/flake.nix", vec!["github:NixOS/nixpkgs/nixos-unstable"]),
        ("nixos/vm-flake/flake.nix", vec!["path:/var/empty/ai-vm"]),
    ] {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        let found: Vec<_> = text
            .lines()
            .filter_map(|line| line.trim().split_once(".url = \""))
            .map(|(_, url)| url.trim_end_matches("\";"))
            .collect();
        assert_eq!(found, urls, "{file}");
    }
}

//! Which flake guests are built from, and how that was decided.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::guest::error::ImageError;
use crate::guest::nixos::embedded;
use crate::host::layout::Layout;

/// A file that tells a flake of ai-vm from others.
const LANDMARK: &str = "nixos/vm-flake/flake.nix";

/// What people said about the flake, the nearest first.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// For this VM, by `--flake`.
    pub for_vm: Option<String>,
    /// By `AI_VM_FLAKE`.
    pub by_variable: Option<String>,
    /// By the wrapper of the flake that the program was installed from.
    pub by_installation: Option<String>,
    /// By the configuration file.
    pub by_configuration: Option<String>,
    /// The working directory, in or above which a flake of ai-vm may lie.
    pub working_directory: Option<PathBuf>,
}

/// Where a flake reference came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// `--flake`.
    Option,
    /// `AI_VM_FLAKE`.
    Variable,
    /// The flake that this program was run from.
    Installation,
    /// The working directory or one above it.
    WorkingDirectory,
    /// The configuration file.
    Configuration,
    /// The copy in this program.
    Embedded,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Option => "--flake",
            Self::Variable => "AI_VM_FLAKE",
            Self::Installation => "the flake that ai-vm was run from",
            Self::WorkingDirectory => "in or above the working directory",
            Self::Configuration => "the configuration file",
            Self::Embedded => "the copy in this program",
        })
    }
}

/// A flake reference as Nix takes it, and where it came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Flake {
    /// The reference.
    pub reference: String,
    /// Its origin.
    pub origin: Origin,
}

/// Decides which flake to build from. The copy in this program is written down if it is that.
pub fn find(said: &Said, layout: &Layout) -> Result<Flake, ImageError> {
    match named(said) {
        Some(flake) => Ok(flake),
        None => Ok(Flake { reference: path_reference(&embedded::write(layout)?), origin: Origin::Embedded }),
    }
}

/// Returns the flake that somebody named, or that lies where we are.
pub fn named(said: &Said) -> Option<Flake> {
    let flake =
        |reference: &Option<String>, origin| reference.clone().map(|reference| Flake { reference, origin });
    flake(&said.for_vm, Origin::Option)
        .or_else(|| flake(&said.by_variable, Origin::Variable))
        .or_else(|| flake(&said.by_installation, Origin::Installation))
        .or_else(|| {
            let dir = said.working_directory.as_deref()?;
            let found = dir.ancestors().find(|dir| is_ours(dir))?;
            Some(Flake { reference: checkout_reference(found), origin: Origin::WorkingDirectory })
        })
        .or_else(|| flake(&said.by_configuration, Origin::Configuration))
}

fn is_ours(dir: &Path) -> bool {
    dir.join("flake.nix").is_file() && dir.join(LANDMARK).is_file()
}

/// Refers to a checkout: as a git repository where it is one, so that Nix does not copy what was compiled in it.
fn checkout_reference(dir: &Path) -> String {
    let scheme = if dir.join(".git").exists() { "git+file://" } else { "path:" };
    format!("{scheme}{}", percent_encoded(dir))
}

/// Refers to a directory as it is.
pub fn path_reference(dir: &Path) -> String {
    format!("path:{}", percent_encoded(dir))
}

/// Encodes a path for a URL, in which a blank, `?` and `#` mean something else (RFC 3986, section 2).
fn percent_encoded(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let mut text = String::new();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                text.push(char::from(*byte));
            }
            byte => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

/// Makes what was typed fit to be kept: a directory by its absolute path, because it is read from other directories.
pub fn absolute(typed: &str) -> String {
    let looks_like_a_path = typed.starts_with(['.', '/']) && !typed.contains(['#', '?']);
    match std::fs::canonicalize(typed) {
        Ok(dir) if looks_like_a_path && dir.is_dir() => checkout_reference(&dir),
        _ => typed.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_counts() {
        let checkout = tempfile::tempdir().unwrap();
        let below = checkout.path().join("a b/c");
        std::fs::create_dir_all(checkout.path().join("nixos/vm-flake")).unwrap();
        std::fs::create_dir_all(&below).unwrap();
        std::fs::write(checkout.path().join("flake.nix"), "{}").unwrap();
        std::fs::write(checkout.path().join(LANDMARK), "{}").unwrap();
        let some = |text: &str| Some(text.to_owned());
        let mut said = Said {
            for_vm: some("option"),
            by_variable: some("variable"),
            by_installation: some("installation"),
            by_configuration: some("configuration"),
            working_directory: Some(below),
        };
        let origin = |said: &Said| named(said).map(|flake| flake.origin);
        assert_eq!(origin(&said), Some(Origin::Option));
        said.for_vm = None;
        assert_eq!(origin(&said), Some(Origin::Variable));
        said.by_variable = None;
        assert_eq!(origin(&said), Some(Origin::Installation));
        said.by_installation = None;
        assert_eq!(named(&said).unwrap().reference, path_reference(checkout.path()));
        said.working_directory = Some(std::env::temp_dir());
        assert_eq!(origin(&said), Some(Origin::Configuration));
        said.by_configuration = None;
        assert_eq!(named(&said), None);
    }

    #[test]
    fn no_path_means_anything_in_a_reference() {
        assert_eq!(
            path_reference(Path::new("/a b/${x}?dir=#\"\n")),
            "path:/a%20b/%24%7Bx%7D%3Fdir%3D%23%22%0A"
        );
        assert_eq!(absolute("github:owner/repo"), "github:owner/repo");
        assert_eq!(absolute("/"), "path:/");
        assert_eq!(absolute("./nonexistent"), "./nonexistent");
    }
}

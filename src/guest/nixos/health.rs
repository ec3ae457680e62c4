//! Which Nix there is, and whether it can make what NixOS guests are made of.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::guest::error::ImageError;
use crate::host::process;
use crate::host::program::{self, ProcessError};

/// The oldest Nix that nixpkgs can be evaluated with (`lib/minver.nix` of nixpkgs).
const OLDEST: (u32, u32) = (2, 18);

/// How long Nix may take to say its version.
const VERSION_LIMIT: Duration = Duration::from_secs(5);

/// How long it may take to evaluate next to nothing, with a store that it may have to open first.
const EVALUATION_LIMIT: Duration = Duration::from_secs(20);

/// What Nix is good for here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// There is none.
    Missing,
    /// It is older than nixpkgs takes.
    TooOld {
        /// What it says that it is.
        version: String,
        /// The oldest that will do.
        oldest: (u32, u32),
    },
    /// It is new enough and evaluates no flakes, for instance because it cannot reach its store.
    Broken {
        /// What it says that it is.
        version: String,
        /// Why not.
        reason: String,
    },
    /// It makes NixOS guests.
    Usable {
        /// What it says that it is.
        version: String,
    },
}

/// Returns Nix with what it is asked for here, which is not everywhere switched on.
pub(super) fn nix() -> Result<Command, ImageError> {
    let mut nix = Command::new(path().map_err(|_| ImageError::NoNix)?);
    nix.args(["--extra-experimental-features", "nix-command flakes"]);
    Ok(nix)
}

/// Tells whether there is a Nix that can evaluate what NixOS is made of, by its version.
pub fn is_usable() -> bool {
    path().and_then(said).is_ok_and(|said| version(&said) >= Some(OLDEST))
}

/// Looks closer, and lets Nix evaluate something. Blocks.
pub fn health() -> Health {
    let Ok(path) = path() else { return Health::Missing };
    let said = match said(path) {
        Ok(said) => said,
        Err(error) => return Health::Broken { version: "Nix".to_owned(), reason: error.to_string() },
    };
    let shown = said.trim().to_owned();
    if version(&said) < Some(OLDEST) {
        return Health::TooOld { version: shown, oldest: OLDEST };
    }
    let evaluated = nix().map_err(|error| error.to_string()).and_then(|mut nix| {
        nix.args(["eval", "--expr", "builtins ? getFlake"]);
        process::output(&mut nix, EVALUATION_LIMIT).map_err(|error| error.to_string())
    });
    match evaluated {
        Ok(answer) if answer.trim_ascii() == b"true" => Health::Usable { version: shown },
        Ok(_) => Health::Broken { version: shown, reason: "it has no `builtins.getFlake`".to_owned() },
        Err(reason) => Health::Broken { version: shown, reason },
    }
}

fn said(nix: PathBuf) -> Result<String, ProcessError> {
    let said = process::output(Command::new(nix).arg("--version"), VERSION_LIMIT)?;
    Ok(String::from_utf8_lossy(&said).into_owned())
}

/// Reads `nix (Nix) 2.34.8`.
fn version(said: &str) -> Option<(u32, u32)> {
    let mut parts = said.trim().rsplit(' ').next()?.split('.');
    let number = |part: &str| part.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok();
    Some((number(parts.next()?)?, number(parts.next()?)?))
}

fn path() -> Result<PathBuf, ProcessError> {
    program::find("nix", "nix-bin")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        assert_eq!(version("nix (Nix) 2.34.8\n"), Some((2, 34)));
        assert_eq!(version("nix (Lix, like Nix) 2.93.0-pre20250101"), Some((2, 93)));
        assert_eq!(version("nix (Nix) 3.0pre"), Some((3, 0)));
        assert_eq!(version(""), None);
        assert!(version("nix (Nix) 2.8.0") < Some(OLDEST));
    }
}

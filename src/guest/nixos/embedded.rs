//! The flake in this program: no checkout and no network name is needed to find it.

use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};
use sha2::{Digest, Sha256};

use crate::guest::error::ImageError;
use crate::host::files::{self, failed};
use crate::host::layout::Layout;
use crate::host::staging::Staging;

/// The files at the top of the flake.
const TOP: [(&str, &str); 2] =
    [("flake.nix", include_str!("../../../flake.nix")), ("flake.lock", include_str!("../../../flake.lock"))];

/// Everything else that guests are built from.
static NIXOS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/nixos");

/// Returns every file with its path, in a fixed order.
fn contents() -> Vec<(PathBuf, &'static [u8])> {
    fn below(dir: &'static Dir<'static>, found: &mut Vec<(PathBuf, &'static [u8])>) {
        found.extend(dir.files().map(|file| (Path::new("nixos").join(file.path()), file.contents())));
        dir.dirs().for_each(|dir| below(dir, found));
    }
    let mut found: Vec<_> = TOP.iter().map(|(name, text)| (PathBuf::from(name), text.as_bytes())).collect();
    below(&NIXOS, &mut found);
    found.sort();
    found
}

/// Returns the flake that is written into the directory of each build, which takes what differs from a file beside it.
pub fn vm_flake() -> &'static str {
    NIXOS.get_file("vm-flake/flake.nix").and_then(|file| file.contents_utf8()).unwrap_or_default()
}

/// Writes the flake down, once for each content, and returns its directory.
pub fn write(layout: &Layout) -> Result<PathBuf, ImageError> {
    let contents = contents();
    let mut digest = Sha256::new();
    for (path, content) in &contents {
        let path = path.to_string_lossy();
        digest.update((path.len() as u64).to_be_bytes());
        digest.update(path.as_bytes());
        digest.update((content.len() as u64).to_be_bytes());
        digest.update(content);
    }
    let hex: String = digest.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let place = layout.flake(&hex);
    if place.is_dir() {
        return Ok(place);
    }
    let parent = place.parent().unwrap_or(layout.root());
    files::create_private_dir(parent)?;
    let staged = Staging::enter(layout)?.new_dir()?;
    for (path, content) in contents {
        let path = staged.path().join(path);
        let dir = path.parent().unwrap_or(staged.path());
        std::fs::create_dir_all(dir).map_err(failed("create", dir))?;
        files::write_new(&path, content)?;
    }
    match staged.place(&place) {
        // Somebody else has just written the same.
        Err(_) if place.is_dir() => Ok(place),
        Err(error) => Err(error.into()),
        Ok(()) => Ok(place),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_flake_of_the_checkout() {
        let dir = tempfile::tempdir().unwrap();
        let layout = crate::host::data_dir::open(&dir.path().join("d")).unwrap();
        let place = write(&layout).unwrap();
        assert_eq!(write(&layout).unwrap(), place);
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for (path, _) in contents() {
            assert_eq!(std::fs::read(place.join(&path)).unwrap(), std::fs::read(root.join(&path)).unwrap());
        }
        assert!(vm_flake().contains("makeCustomVM"));
    }
}

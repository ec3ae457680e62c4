//! Images that the user brings: copied in once, so that a change to the file does not pull the ground from under
//! the VMs made from it.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::guest::error::ImageError;
use crate::guest::manifest::{self, Manifest, Source};
use crate::guest::store;
use crate::host::files::failed;
use crate::host::layout::Layout;
use crate::host::process;
use crate::host::program;
use crate::qemu::disk;

/// How long a download may take.
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(2 * 60 * 60);

/// The name of an image's disk.
const DISK: &str = "disk";

/// Returns the name of the image that a source becomes, by its content. Reads a file once; as long as the file looks
/// unchanged, its name is known from the image that was made of it.
pub fn image_id(layout: &Layout, source: &str, sha256: Option<&str>) -> Result<String, ImageError> {
    if let (true, Some(digest)) = (is_url(source), sha256) {
        return Ok(id_of(digest));
    }
    let now = describe(source)?;
    let mut images = store::ids(layout)?.into_iter().filter_map(|id| store::open(layout, &id).ok());
    let known = images.find(|image| image.manifest.source.as_ref() == Some(&now));
    match known {
        Some(image) if sha256.is_none_or(|digest| image.id == id_of(digest)) => Ok(image.id),
        _ => {
            let found = digest(Path::new(source))?;
            check(source, sha256, &found)?;
            Ok(id_of(&found))
        }
    }
}

/// Brings an image into an empty directory and checks it. Blocks.
pub fn import(
    dir: &Path,
    source: &str,
    sha256: Option<&str>,
    mut on_step: impl FnMut(&str),
) -> Result<Manifest, ImageError> {
    let disk = dir.join(DISK);
    let origin = if is_url(source) {
        on_step("downloading");
        download(source, &disk, &dir.join("download.log"))?;
        Source { from: source.to_owned(), bytes: 0, modified_ns: 0 }
    } else {
        on_step("copying");
        let origin = describe(source)?;
        // Shares the blocks where the file system can.
        std::fs::copy(source, &disk).map_err(failed("copy", Path::new(source)))?;
        origin
    };
    on_step("checking");
    check(source, sha256, &digest(&disk)?)?;
    let found = disk::inspect(&disk)?;
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&disk, std::fs::Permissions::from_mode(0o600))
        .map_err(failed("protect", &disk))?;
    Ok(Manifest {
        family: "image".to_owned(),
        created: manifest::now(),
        disk: Some(DISK.to_owned()),
        format: found.format,
        boot: None,
        desktop: false,
        source: Some(origin),
        nixos: None,
    })
}

fn is_url(source: &str) -> bool {
    source.starts_with("https://")
}

fn id_of(digest: &str) -> String {
    format!("image-{}", digest.get(..12).unwrap_or(digest))
}

/// Says how a file looks now.
fn describe(source: &str) -> Result<Source, ImageError> {
    let found = std::fs::metadata(source).map_err(failed("read the image", Path::new(source)))?;
    let modified_ns = found.mtime().saturating_mul(1_000_000_000).saturating_add(found.mtime_nsec());
    Ok(Source { from: source.to_owned(), bytes: found.len(), modified_ns })
}

fn check(from: &str, wanted: Option<&str>, found: &str) -> Result<(), ImageError> {
    match wanted {
        Some(wanted) if wanted != found => {
            let (wanted, found) = (wanted.to_owned(), found.to_owned());
            Err(ImageError::Checksum { from: from.to_owned(), wanted, found })
        }
        _ => Ok(()),
    }
}

/// Returns the SHA-256 of a file in hexadecimal.
fn digest(path: &Path) -> Result<String, ImageError> {
    let read = || {
        let mut file = File::open(path)?;
        let mut digest = Sha256::new();
        let mut buffer = vec![0; 1 << 20];
        loop {
            let count = file.read(&mut buffer)?;
            let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
            digest.update(bytes);
        }
        Ok::<_, io::Error>(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    };
    Ok(read().map_err(failed("read", path))?)
}

/// Downloads by curl, which knows the user's proxies and certificates. Redirects may only lead to https again.
fn download(url: &str, to: &Path, log: &Path) -> Result<(), ImageError> {
    let mut command = Command::new(program::find("curl", "curl")?);
    command.args(["--fail", "--location", "--proto", "=https", "--silent", "--show-error", "--retry", "3"]);
    command.args(["--connect-timeout", "30", "--output"]).arg(to).arg("--").arg(url);
    process::stream(&mut command, log, DOWNLOAD_LIMIT, |_| {})
        .map_err(|source| ImageError::Build { what: "download", source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_content_and_checked() {
        let tmp = tempfile::tempdir().unwrap();
        let layout = crate::host::data_dir::open(&tmp.path().join("d")).unwrap();
        let file = tmp.path().join("i.raw");
        std::fs::write(&file, [0; 512]).unwrap();
        let source = file.to_str().unwrap();
        let sum = digest(&file).unwrap();
        assert_eq!(image_id(&layout, source, Some(&sum)).unwrap(), id_of(&sum));
        let error = image_id(&layout, source, Some(&"0".repeat(64))).unwrap_err();
        assert!(error.to_string().contains(&sum), "{error}");
        assert!(matches!(image_id(&layout, "/none", None), Err(ImageError::File(_))));
    }
}

//! The images on disk: one directory each, complete or not there, never changed once it is there.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::guest::error::ImageError;
use crate::guest::manifest::Manifest;
use crate::host::files::{self, failed};
use crate::host::layout::Layout;
use crate::host::lock;
use crate::host::staging::Staging;

/// The file that describes an image, beside its disk.
const MANIFEST: &str = "image.toml";

/// The largest description that is read, in bytes.
const MAX_BYTES: u64 = 64 * 1024;

/// How long to wait for another ai-vm that is making the same image.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// An image that is there.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its name.
    pub id: String,
    /// What it consists of.
    pub manifest: Manifest,
    dir: PathBuf,
}

/// An image that cannot be removed while this value lives.
#[derive(Debug)]
pub struct Held {
    /// The image.
    pub image: Image,
    _lock: File,
}

impl Image {
    /// Returns the path of one of its files.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Returns the path of one of its files as seen from a VM's directory.
    pub fn seen_from_vm(&self, name: &str) -> String {
        if name.starts_with('/') { name.to_owned() } else { format!("../../images/{}/{name}", self.id) }
    }

    /// Returns the bytes that it takes on this machine's disk; holes take none.
    pub fn allocated(&self) -> u64 {
        use std::os::unix::fs::MetadataExt;
        let entries = std::fs::read_dir(&self.dir).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.metadata().ok()).map(|found| found.blocks() * 512).sum()
    }
}

/// Returns the names of all images in order, damaged or not.
pub fn ids(layout: &Layout) -> Result<Vec<String>, ImageError> {
    let images = layout.images();
    let mut ids = Vec::new();
    for entry in std::fs::read_dir(&images).map_err(failed("list", &images))? {
        let entry = entry.map_err(failed("list", &images))?;
        if entry.path().is_dir() {
            ids.extend(entry.file_name().into_string());
        }
    }
    ids.sort();
    Ok(ids)
}

/// Opens an image.
pub fn open(layout: &Layout, id: &str) -> Result<Image, ImageError> {
    let dir = layout.image(id);
    // An id comes from the user or from a record edited by hand: it must not lead elsewhere.
    let plain = Path::new(id).file_name().is_some_and(|name| name == id);
    if !plain || !dir.is_dir() {
        return Err(ImageError::NotFound { id: id.escape_debug().to_string() });
    }
    let damaged = |reason: String| ImageError::Damaged { dir: dir.clone(), reason };
    let content = files::read_bounded(&dir.join(MANIFEST), MAX_BYTES)
        .map_err(|error| damaged(format!("{error}: {}", error.source)))?;
    let manifest: Manifest = toml::from_str(&String::from_utf8_lossy(&content))
        .map_err(|error| damaged(error.message().to_owned()))?;
    let boot = manifest.boot.iter().flat_map(|boot| [&boot.kernel, &boot.initrd]);
    for file in boot.chain(&manifest.disk) {
        // An absolute path stays what it is.
        if !dir.join(file).is_file() {
            return Err(damaged(format!("`{file}` is missing")));
        }
    }
    Ok(Image { id: id.to_owned(), manifest, dir })
}

/// Returns the image and keeps it from being removed; makes it first if it is not there. Several processes that
/// need the same image make it once: the others wait, up to half an hour.
///
/// `make` fills a directory and returns what is in it.
pub fn ensure(
    layout: &Layout,
    id: &str,
    waiting: impl FnOnce(String),
    make: impl FnOnce(&Path) -> Result<Manifest, ImageError>,
) -> Result<Held, ImageError> {
    let path = layout.image_lock(id);
    if let Ok(held) = hold(layout, id) {
        return Ok(held);
    }
    let alone = match lock::try_exclusive(&path)? {
        Some(alone) => alone,
        None => {
            waiting(lock::holder(&path));
            lock::exclusive(&path, PATIENCE)?
        }
    };
    match open(layout, id) {
        Ok(_) => {}
        Err(ImageError::NotFound { .. }) => {
            let staged = Staging::enter(layout)?.new_dir()?;
            let manifest = make(staged.path())?;
            let text = toml::to_string(&manifest)
                .map_err(|error| ImageError::Damaged { dir: layout.image(id), reason: error.to_string() })?;
            files::write_new(&staged.path().join(MANIFEST), text.as_bytes())?;
            staged.place(&layout.image(id))?;
        }
        Err(error) => return Err(error),
    }
    drop(alone);
    hold(layout, id)
}

/// Opens an image and keeps it from being removed.
pub fn hold(layout: &Layout, id: &str) -> Result<Held, ImageError> {
    open(layout, id)?;
    let lock = lock::shared(&layout.image_lock(id), PATIENCE)?;
    // It may have been removed while the lock was awaited.
    Ok(Held { image: open(layout, id)?, _lock: lock })
}

/// Removes an image, damaged or not. The caller knows that no VM's disk lies over it.
pub fn remove(layout: &Layout, id: &str) -> Result<(), ImageError> {
    if let Err(error @ ImageError::NotFound { .. }) = open(layout, id) {
        return Err(error);
    }
    let path = layout.image_lock(id);
    let busy = || ImageError::Busy { id: id.to_owned() };
    let _alone = lock::try_exclusive(&path)?.ok_or_else(busy)?;
    let gone = Staging::enter(layout)?.take(&layout.image(id));
    files::remove_if_there(&path)?;
    match gone {
        Err(error) if error.source.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::manifest::now;
    use crate::qemu::disk::DiskFormat;

    fn manifest() -> Manifest {
        Manifest {
            family: "debian".into(),
            created: now(),
            disk: Some("d".into()),
            format: DiskFormat::Raw,
            boot: None,
            desktop: false,
            source: None,
            nixos: None,
        }
    }

    #[test]
    fn made_once_held_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let layout = crate::host::data_dir::open(&dir.path().join("d")).unwrap();
        let make = |dir: &Path| {
            files::write_new(&dir.join("d"), b"disk")?;
            Ok(manifest())
        };
        let held = ensure(&layout, "x", |_| {}, make).unwrap();
        let again = ensure(&layout, "x", |_| {}, |_| panic!("made twice")).unwrap();
        assert_eq!(std::fs::read(again.image.file("d")).unwrap(), b"disk");
        assert!(matches!(remove(&layout, "x"), Err(ImageError::Busy { .. })));
        drop((held, again));
        remove(&layout, "x").unwrap();
        assert!(matches!(remove(&layout, "x"), Err(ImageError::NotFound { .. })));
        assert_eq!(std::fs::read_dir(layout.images()).unwrap().count(), 0);
    }

    #[test]
    fn a_failed_or_damaged_image_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let layout = crate::host::data_dir::open(&dir.path().join("d")).unwrap();
        let fail = |_: &Path| Err(ImageError::NotFound { id: "program".into() });
        assert!(ensure(&layout, "x", |_| {}, fail).is_err());
        assert_eq!(std::fs::read_dir(layout.staging()).unwrap().count(), 0);
        let held = ensure(&layout, "y", |_| {}, |_| Ok(manifest()));
        assert!(matches!(held, Err(ImageError::Damaged { .. })), "{held:?}");
        assert!(matches!(open(&layout, "../vms"), Err(ImageError::NotFound { .. })));
        assert_eq!(ids(&layout).unwrap(), ["y"]);
    }
}

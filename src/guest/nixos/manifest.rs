//! What a build says of the system that came out of it: `manifest.json`, written by `nixos/lib/manifest.nix`.
//!
//! The flake may be anybody's. What it says is data for a command line of ai-vm's own, and every file that it names has
//! to lie in the store, or it could show any file of this machine to the guest.

use std::path::Path;

use serde::Deserialize;

use crate::guest::error::ImageError;
use crate::guest::manifest::{self, DirectBoot, Manifest, StoreSource, System};
use crate::host::files;
use crate::qemu::disk::DiskFormat;

/// The file in a build's result.
const FILE: &str = "manifest.json";

/// The largest manifest that is read, in bytes.
const MAX_BYTES: u64 = 256 * 1024;

/// The schema that this version reads.
const SCHEMA: u32 = 1;

/// The disk that a guest expects.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Disk {
    /// An empty one with a file system of this label.
    Blank { label: String },
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    kernel: String,
    initrd: String,
    cmdline: String,
    toplevel: String,
    store: StoreSource,
    disk: Disk,
    nixos_version: String,
    state_version: String,
    #[serde(default)]
    features: Features,
}

/// What it has, as far as it matters for the image.
#[derive(Debug, Default, Deserialize)]
struct Features {
    #[serde(default)]
    desktop: bool,
}

/// Reads the manifest of a result; `wanted` says what was asked for.
pub fn read(result: &Path, wanted: String) -> Result<Manifest, ImageError> {
    let path = result.join(FILE);
    let bad = |reason: String| ImageError::Manifest { path: path.clone(), reason };
    let text = files::read_bounded(&path, MAX_BYTES)
        .map_err(|error| bad(format!("it cannot be read: {}", error.source)))?;
    let content = parse(&text).map_err(bad)?;
    let in_store = |file: &str| inside(file, result.parent().unwrap_or(result)).map_err(bad);
    let store = match content.store {
        StoreSource::Host => StoreSource::Host,
        StoreSource::Image { path, format } => StoreSource::Image { path: in_store(&path)?, format },
    };
    let boot = DirectBoot {
        kernel: in_store(&content.kernel)?,
        initrd: in_store(&content.initrd)?,
        cmdline: content.cmdline,
    };
    let system = System {
        result: result.to_owned(),
        toplevel: content.toplevel,
        version: content.nixos_version,
        state_version: content.state_version,
        store,
        wanted,
    };
    Ok(Manifest {
        family: "nixos".to_owned(),
        created: manifest::now(),
        disk: None,
        format: DiskFormat::default(),
        boot: Some(boot),
        desktop: content.features.desktop,
        source: None,
        nixos: Some(system),
    })
}

fn parse(text: &[u8]) -> Result<Content, String> {
    /// Read first: what another schema has besides is not known.
    #[derive(Deserialize)]
    struct Version {
        schema: u32,
        family: String,
    }
    let Version { schema, family } = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if schema != SCHEMA || family != "nixos" {
        return Err(format!("it is of schema {schema} for `{family}`, not of schema {SCHEMA} for `nixos`"));
    }
    let content: Content = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let Disk::Blank { label } = &content.disk;
    if label != super::disk::LABEL {
        return Err(format!("it wants a disk labelled `{label}`, not `{}`", super::disk::LABEL));
    }
    if content.cmdline.contains(['\n', '\0']) {
        return Err("its kernel command line has more than one line".to_owned());
    }
    Ok(content)
}

/// Returns the file that a path leads to, which has to be in the store.
fn inside(file: &str, store: &Path) -> Result<String, String> {
    let outside = || format!("`{}` is not a file in the store `{}`", file.escape_debug(), store.display());
    let real = std::fs::canonicalize(file).map_err(|_| outside())?;
    let store = std::fs::canonicalize(store).map_err(|_| outside())?;
    let in_store =
        real.strip_prefix(&store).is_ok_and(|rest| rest.components().count() > 0) && real.is_file();
    real.into_os_string().into_string().ok().filter(|_| in_store).ok_or_else(outside)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::path::PathBuf;

    struct Store(tempfile::TempDir);

    impl Store {
        fn new() -> Self {
            let store = Self(tempfile::tempdir().unwrap());
            std::fs::create_dir(store.file("result")).unwrap();
            for file in ["kernel", "initrd"] {
                std::fs::write(store.file(file), file).unwrap();
            }
            store
        }

        fn file(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn good(&self) -> Value {
            json!({
                "schema": 1, "family": "nixos", "kernel": self.file("kernel"), "initrd": self.file("initrd"),
                "cmdline": "console=ttyS0 init=/nix/store/x/init", "toplevel": "/nix/store/x",
                "store": { "kind": "host" }, "disk": { "kind": "blank", "label": "nixos" },
                "nixosVersion": "26.11", "stateVersion": "26.11", "features": { "overlay": false },
            })
        }

        fn read(&self, content: &Value) -> Result<Manifest, ImageError> {
            std::fs::write(self.file("result/manifest.json"), content.to_string()).unwrap();
            read(&self.file("result"), "w".to_owned())
        }
    }

    #[test]
    fn a_manifest_becomes_an_image() {
        let store = Store::new();
        let manifest = store.read(&store.good()).unwrap();
        assert_eq!((manifest.family.as_str(), manifest.disk.as_deref()), ("nixos", None));
        let text = toml::to_string(&manifest).unwrap();
        assert_eq!(toml::from_str::<Manifest>(&text).unwrap(), manifest);
        let mut image = store.good();
        image["store"] = json!({ "kind": "image", "path": store.file("kernel"), "format": "raw" });
        let Some(System { store: StoreSource::Image { .. }, .. }) = store.read(&image).unwrap().nixos else {
            panic!("no store image")
        };
    }

    #[test]
    fn what_is_not_in_the_store_is_refused() {
        let store = Store::new();
        let link = store.file("link");
        std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
        let up = store.file("../../etc/passwd");
        let outside =
            ["/etc/passwd", link.to_str().unwrap(), up.to_str().unwrap(), "kernel", "/nonexistent", ""];
        for path in outside {
            for key in ["kernel", "initrd"] {
                let mut content = store.good();
                content[key] = json!(path);
                assert!(
                    store.read(&content).unwrap_err().to_string().contains("not a file in the store"),
                    "{path}"
                );
            }
            let mut content = store.good();
            content["store"] = json!({ "kind": "image", "path": path, "format": "raw" });
            assert!(store.read(&content).is_err(), "{path}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let store = Store::new();
        for (key, value, part) in [
            ("schema", json!(2), "schema 2"),
            ("family", json!("debian"), "`debian`"),
            ("cmdline", json!("a\nb"), "more than one line"),
            ("disk", json!({ "kind": "blank", "label": "x" }), "labelled `x`"),
            ("disk", json!({ "kind": "tape" }), "unknown variant"),
            ("store", json!({ "kind": "image", "path": "/x", "format": "vmdk" }), "unknown variant"),
        ] {
            let mut content = store.good();
            content[key] = value;
            let error = store.read(&content).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        std::fs::write(store.file("result/manifest.json"), "{").unwrap();
        assert!(read(&store.file("result"), String::new()).is_err());
    }
}

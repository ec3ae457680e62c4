//! Images that the user brings: copied in once, so that a change to the file does not pull the ground from under
//! the VMs made from it.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::guest::error::ImageError;
use crate::guest::manifest::{self, Manifest, Source};
use crate::guest::store;
use crate::host::files::{self, failed};
use crate::host::layout::Layout;
use crate::host::process;
use crate::host::program;
use crate::qemu::disk;

/// How long a download may take.
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(2 * 60 * 60);

/// The name of an image's disk.
const DISK: &str = "disk";

/// How often it is looked how far a file has come.
const LOOK: Duration = Duration::from_millis(200);

/// The most that is read of what servers said before a download, in bytes.
const MAX_HEADERS: u64 = 256 * 1024;

/// Who is told how an image is getting on.
pub trait Teller: Sync {
    /// A step is under way.
    fn step(&self, step: &str);
    /// So many bytes of it are done, of so many where that is known.
    fn bytes(&self, done: u64, total: Option<u64>);
}

/// Returns the name of the image that a source becomes, by its content. Reads a file once; as long as the file looks
/// unchanged, its name is known from the image that was made of it.
pub fn image_id(
    layout: &Layout,
    source: &str,
    sha256: Option<&str>,
    teller: &impl Teller,
) -> Result<String, ImageError> {
    if let (true, Some(digest)) = (is_url(source), sha256) {
        return Ok(id_of(digest));
    }
    let now = describe(source)?;
    let mut images = store::ids(layout)?.into_iter().filter_map(|id| store::open(layout, &id).ok());
    let known = images.find(|image| image.manifest.source.as_ref() == Some(&now));
    match known {
        Some(image) if sha256.is_none_or(|digest| image.id == id_of(digest)) => Ok(image.id),
        _ => {
            teller.step("reading");
            let found = digest(Path::new(source), teller)?;
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
    teller: &impl Teller,
) -> Result<Manifest, ImageError> {
    let disk = dir.join(DISK);
    let origin = if is_url(source) {
        teller.step("downloading");
        let headers = dir.join("download.headers");
        let length = || content_length(&files::read_bounded(&headers, MAX_HEADERS).ok()?);
        watched(&disk, length, teller, || download(source, &disk, &headers, &dir.join("download.log")))?;
        files::remove_if_there(&headers)?;
        Source { from: source.to_owned(), bytes: 0, modified_ns: 0 }
    } else {
        teller.step("copying");
        let origin = describe(source)?;
        // Shares the blocks where the file system can.
        watched(&disk, || Some(origin.bytes), teller, || std::fs::copy(source, &disk))
            .map_err(failed("copy", Path::new(source)))?;
        origin
    };
    teller.step("checking");
    check(source, sha256, &digest(&disk, teller)?)?;
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
fn digest(path: &Path, teller: &impl Teller) -> Result<String, ImageError> {
    let read = || {
        let mut file = File::open(path)?;
        let (mut done, length) = (0, file.metadata()?.len());
        let mut told = Instant::now();
        let mut digest = Sha256::new();
        let mut buffer = vec![0; 1 << 20];
        loop {
            let count = file.read(&mut buffer)?;
            let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
            digest.update(bytes);
            done += count as u64;
            if told.elapsed() >= LOOK {
                teller.bytes(done, Some(length));
                told = Instant::now();
            }
        }
        Ok::<_, io::Error>(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    };
    Ok(read().map_err(failed("read", path))?)
}

/// Downloads by curl, which knows the user's proxies and certificates. Redirects may only lead to https again.
fn download(url: &str, to: &Path, headers: &Path, log: &Path) -> Result<(), ImageError> {
    let mut command = Command::new(program::find("curl", "curl")?);
    command.args(["--fail", "--location", "--proto", "=https", "--silent", "--show-error", "--retry", "3"]);
    command.args(["--connect-timeout", "30", "--dump-header"]).arg(headers);
    command.arg("--output").arg(to).arg("--").arg(url);
    process::stream(&mut command, log, DOWNLOAD_LIMIT, |_| {})
        .map_err(|source| ImageError::Build { what: "download", source })
}

/// Returns how much the last of several servers, to which the others led, said that it sends.
fn content_length(headers: &[u8]) -> Option<u64> {
    let text = String::from_utf8_lossy(headers);
    let last = text.lines().skip(text.lines().count() - text.lines().rev().position(is_status)?);
    let mut fields = last.filter_map(|line| line.split_once(':'));
    let (_, length) = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?;
    length.trim().parse().ok()
}

fn is_status(line: &str) -> bool {
    line.starts_with("HTTP/")
}

/// Does something that fills a file, and tells meanwhile how far that is.
fn watched<T>(
    file: &Path,
    total: impl Fn() -> Option<u64> + Send,
    teller: &impl Teller,
    work: impl FnOnce() -> T,
) -> T {
    let (over, is_over) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while is_over.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                if let Ok(found) = std::fs::metadata(file) {
                    teller.bytes(found.len(), total());
                }
            }
        });
        let done = work();
        drop(over);
        done
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nobody;

    impl Teller for Nobody {
        fn step(&self, _: &str) {}
        fn bytes(&self, _: u64, _: Option<u64>) {}
    }

    #[test]
    fn the_length_is_that_of_the_file_and_not_of_what_led_to_it() {
        let led = "HTTP/1.1 302 Found\r\ncontent-length: 3\r\nlocation: /x\r\n\r\n";
        let file = "HTTP/2 200 \r\nserver: x\r\nContent-Length: 1234\r\n\r\n";
        assert_eq!(content_length(format!("{led}{file}").as_bytes()), Some(1234));
        assert_eq!(content_length(led.as_bytes()), Some(3));
        let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        assert_eq!(content_length(format!("{led}{chunked}").as_bytes()), None);
        for bad in ["", "content-length: 3", "HTTP/1.1 200\r\ncontent-length: -1\r\n", "HTTP/1.1"] {
            assert_eq!(content_length(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_file_is_known_by_its_content_and_checked() {
        let tmp = tempfile::tempdir().unwrap();
        let layout = crate::host::data_dir::open(&tmp.path().join("d")).unwrap();
        let file = tmp.path().join("i.raw");
        std::fs::write(&file, [0; 512]).unwrap();
        let source = file.to_str().unwrap();
        let sum = digest(&file, &Nobody).unwrap();
        assert_eq!(image_id(&layout, source, Some(&sum), &Nobody).unwrap(), id_of(&sum));
        let error = image_id(&layout, source, Some(&"0".repeat(64)), &Nobody).unwrap_err();
        assert!(error.to_string().contains(&sum), "{error}");
        assert!(matches!(image_id(&layout, "/none", None, &Nobody), Err(ImageError::File(_))));
    }
}

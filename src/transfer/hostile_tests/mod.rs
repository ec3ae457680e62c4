//! Streams that a hostile guest could send: whatever they are, nothing outside the destination changes, and nothing
//! half-made stays in it.

mod elsewhere;
mod malformed;
mod round_trip;

use crate::transfer::decode::Decoder;
use crate::transfer::encode::BLOCK;
use crate::transfer::error::Stop;
use crate::transfer::extract::{Asked, Extractor};
use crate::transfer::watch::{Report, Watch};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// A destination, and beside it what is none of a guest's business.
struct World {
    dir: tempfile::TempDir,
    told: Arc<Mutex<Vec<Report>>>,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("dest")).unwrap();
        fs::create_dir(dir.path().join("outside")).unwrap();
        fs::write(dir.path().join("outside/canary"), "alive").unwrap();
        Self { dir, told: Arc::default() }
    }

    fn dest(&self, below: &str) -> PathBuf {
        self.dir.path().join("dest").join(below)
    }

    fn outside(&self) -> PathBuf {
        self.dir.path().join("outside")
    }

    /// Takes a stream of `top`, and checks that nothing outside has changed and nothing half-made is left.
    fn take(&self, stream: impl Read, recursive: bool) -> Result<(), Stop> {
        let told = Arc::clone(&self.told);
        let watch = Arc::new(Watch::new(move |report| told.lock().unwrap().push(report)));
        let asked = Asked { tops: ["top".into()].into(), recursive, only: None };
        let mut extractor = Extractor::open(&self.dest(""), None, Arc::clone(&watch)).unwrap();
        let taken = asked.read(&mut Decoder::new(stream, 1000), &mut extractor, &watch);
        extractor.finish(taken.is_ok());
        let all: Vec<_> =
            tree(self.dir.path()).into_iter().filter(|path| !path.starts_with(self.dest(""))).collect();
        let expected = [self.dir.path().to_owned(), self.outside(), self.outside().join("canary")];
        assert_eq!(all, expected);
        assert_eq!(fs::read(self.outside().join("canary")).unwrap(), b"alive");
        for path in tree(&self.dest("")) {
            assert!(!path.to_string_lossy().contains(".ai-vm-cp."), "{path:?} was left");
        }
        taken
    }

    fn problems(&self) -> usize {
        self.told.lock().unwrap().iter().filter(|report| matches!(report, Report::Problem(_))).count()
    }
}

fn tree(path: &Path) -> Vec<PathBuf> {
    let mut all = vec![path.to_owned()];
    if path.symlink_metadata().unwrap().is_dir() {
        let mut inside: Vec<_> = fs::read_dir(path).unwrap().map(|one| one.unwrap().path()).collect();
        inside.sort();
        all.extend(inside.iter().flat_map(|path| tree(path)));
    }
    all
}

/// A header as any program could write it.
fn block(kind: u8, name: &[u8], size: u64, target: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_size(size);
    header.set_mode(0o6777);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1);
    let ustar = header.as_ustar_mut().unwrap();
    ustar.name[..name.len()].copy_from_slice(name);
    ustar.linkname[..target.len()].copy_from_slice(target);
    header.set_cksum();
    header.as_bytes().to_vec()
}

fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

fn file(name: &[u8], content: &[u8]) -> Vec<u8> {
    [block(b'0', name, content.len() as u64, b""), padded(content)].concat()
}

fn pax(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = [b" ", key.as_bytes(), b"=", value, b"\n"].concat();
    let mut length = rest.len() + 1;
    while length.to_string().len() + rest.len() != length {
        length = length.to_string().len() + rest.len();
    }
    let record = [length.to_string().as_bytes(), &rest].concat();
    [block(b'x', b"pax", record.len() as u64, b""), padded(&record)].concat()
}

fn stream(parts: &[Vec<u8>]) -> Vec<u8> {
    [parts.concat(), vec![0; 2 * BLOCK]].concat()
}

fn dir(name: &[u8]) -> Vec<u8> {
    block(b'5', name, 0, b"")
}

fn link(name: &[u8], target: &[u8]) -> Vec<u8> {
    block(b'2', name, 0, target)
}

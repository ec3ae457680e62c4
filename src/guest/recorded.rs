//! What a guest recorded to be booted: kernel, initial RAM disk and command line of a system that was rebuilt in it.
//!
//! The guest writes them to a small disk, as a tar archive (POSIX ustar) from its first byte: `boot.json`, `kernel` and
//! `initrd`, as `nixos/scripts/record-boot.sh` does. Everything in it is the guest's word, about itself alone: QEMU gets
//! the kernel and its parameters as the guest's own. What is not whole counts as not recorded.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::host::files::{self, FileError, failed};

/// The size of the disk, in bytes: two or three times what kernel and initial RAM disk of NixOS take. It takes space
/// only as the guest writes.
pub const DISK_BYTES: u64 = 512 << 20;

/// The file that describes a system, on the disk and here.
pub const DESCRIPTION: &str = "boot.json";
/// The kernel's file.
pub const KERNEL: &str = "kernel";
/// The initial RAM disk's file.
pub const INITRD: &str = "initrd";

/// The longest description, in bytes; Linux takes a command line of 2 or 4 KiB.
const MAX_DESCRIPTION: u64 = 64 * 1024;

/// A block of a tar archive, in bytes.
const BLOCK: u64 = 512;

/// A system that was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The same for the same record: a hash of its description.
    pub id: String,
    /// What it says of itself.
    pub description: Description,
}

/// What a recorded system says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    schema: u32,
    /// The system, a path in the guest.
    pub toplevel: String,
    /// The kernel's parameters.
    pub cmdline: String,
    kernel: Sum,
    initrd: Sum,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Sum {
    bytes: u64,
    sha256: String,
}

/// Why nothing can be taken from the disk.
#[derive(Debug, thiserror::Error)]
pub enum NotRecorded {
    /// Nothing has been recorded.
    #[error("nothing has been recorded")]
    Nothing,
    /// What is there is not whole, or not understood.
    #[error("what has been recorded cannot be used: {0}")]
    Unusable(String),
    /// It cannot be read or written down.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Makes the disk if it is not there.
pub fn ensure_disk(path: &Path) -> Result<(), FileError> {
    if !path.exists() {
        files::create_private(path)?.set_len(DISK_BYTES).map_err(failed("make", path))?;
    }
    Ok(())
}

/// Says what has been recorded on a disk, without reading all of it.
pub fn peek(disk: &Path) -> Result<Recorded, NotRecorded> {
    let mut file = File::open(disk).map_err(failed("read", disk))?;
    describe(&mut file).map_err(|error| error.into_not_recorded(disk))
}

/// Takes what has been recorded on a disk into an empty directory, if it is whole.
pub fn take(disk: &Path, into: &Path) -> Result<Recorded, NotRecorded> {
    let mut file = File::open(disk).map_err(failed("read", disk))?;
    let extract = |file: &mut File| {
        let recorded = describe(file)?;
        let Description { kernel, initrd, .. } = &recorded.description;
        for (name, sum) in [(KERNEL, kernel), (INITRD, initrd)] {
            copy_member(file, name, sum, &into.join(name))?;
        }
        let text = serde_json::to_vec(&recorded.description).map_err(io::Error::from)?;
        files::write_new(&into.join(DESCRIPTION), &text).map_err(|error| error.source)?;
        // The copy is named after what the guest wrote, not after our way to write it.
        files::write_new(&into.join("id"), recorded.id.as_bytes()).map_err(|error| error.source)?;
        Ok(recorded)
    };
    extract(&mut file).map_err(|error: ReadError| error.into_not_recorded(disk))
}

/// Opens a system that has been taken; `None` where there is none.
pub fn open(dir: &Path) -> Option<Recorded> {
    let text = files::read_bounded(&dir.join(DESCRIPTION), MAX_DESCRIPTION * 2).ok()?;
    let id = files::read_bounded(&dir.join("id"), BLOCK).ok()?;
    let there = [KERNEL, INITRD].iter().all(|name| dir.join(name).is_file());
    let description = serde_json::from_slice(&text).ok().filter(|_| there)?;
    Some(Recorded { id: String::from_utf8(id).ok()?, description })
}

/// Makes the disk say that nothing has been recorded.
pub fn forget(disk: &Path) -> Result<(), FileError> {
    if disk.exists() {
        let mut file = File::options().write(true).open(disk).map_err(failed("write", disk))?;
        file.write_all(&[0; BLOCK as usize]).and_then(|()| file.sync_all()).map_err(failed("write", disk))?;
    }
    Ok(())
}

/// What went wrong while the disk was read.
enum ReadError {
    Nothing,
    Unusable(String),
    Io(io::Error),
}

impl ReadError {
    fn into_not_recorded(self, disk: &Path) -> NotRecorded {
        match self {
            Self::Nothing => NotRecorded::Nothing,
            Self::Unusable(reason) => NotRecorded::Unusable(reason),
            Self::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                NotRecorded::Unusable("it goes on past the end of the disk".to_owned())
            }
            Self::Io(error) => failed("take what was recorded from", disk)(error).into(),
        }
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn describe(file: &mut File) -> Result<Recorded, ReadError> {
    let bytes = member(file, DESCRIPTION)?;
    if bytes > MAX_DESCRIPTION {
        return Err(ReadError::Unusable(format!("its description is {bytes} bytes long")));
    }
    let mut text = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX)];
    file.read_exact(&mut text)?;
    skip_padding(file, bytes)?;
    let description: Description =
        serde_json::from_slice(&text).map_err(|error| ReadError::Unusable(error.to_string()))?;
    if description.schema != 1 {
        return Err(ReadError::Unusable(format!("it is of schema {}", description.schema)));
    }
    if description.cmdline.contains(['\0', '\n']) {
        return Err(ReadError::Unusable("its command line has more than one line".to_owned()));
    }
    let hash = Sha256::digest(&text);
    Ok(Recorded { id: hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect(), description })
}

/// Reads the head of the next member, which has to be a file of this name, and returns its size.
fn member(file: &mut File, name: &str) -> Result<u64, ReadError> {
    let mut block = [0; BLOCK as usize];
    file.read_exact(&mut block)?;
    if block.iter().all(|byte| *byte == 0) && name == DESCRIPTION {
        return Err(ReadError::Nothing);
    }
    let header = tar::Header::from_byte_slice(&block);
    let named = header.path_bytes().as_ref() == name.as_bytes() && header.entry_type().is_file();
    match header.entry_size() {
        Ok(size) if named && size <= DISK_BYTES => Ok(size),
        _ => Err(ReadError::Unusable(format!("`{name}` is not where it should be"))),
    }
}

fn copy_member(file: &mut File, name: &str, sum: &Sum, to: &Path) -> Result<(), ReadError> {
    let bytes = member(file, name)?;
    let wrong = || ReadError::Unusable(format!("`{name}` is not whole"));
    if bytes != sum.bytes {
        return Err(wrong());
    }
    let mut out = files::create_private(to).map_err(|error| error.source)?;
    let mut digest = Sha256::new();
    let mut left = bytes;
    let mut buffer = vec![0; 64 * 1024];
    while left > 0 {
        let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let chunk = buffer.get_mut(..wanted).unwrap_or_default();
        file.read_exact(chunk)?;
        digest.update(&chunk);
        out.write_all(chunk)?;
        left -= chunk.len() as u64;
    }
    skip_padding(file, bytes)?;
    let hex: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if hex == sum.sha256 { Ok(out.sync_all()?) } else { Err(wrong()) }
}

/// Passes over what fills a member's last block.
fn skip_padding(file: &mut File, bytes: u64) -> io::Result<()> {
    let padding = usize::try_from(bytes.next_multiple_of(BLOCK) - bytes).unwrap_or_default();
    file.read_exact([0; BLOCK as usize].get_mut(..padding).unwrap_or_default())
}

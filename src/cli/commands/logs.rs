//! `ai-vm logs`: what a guest wrote to its console, or what QEMU said.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::values::value;
use crate::host::files::{FileError, failed};
use crate::host::layout::VmDir;
use crate::host::lock;
use crate::lifecycle::error::LifecycleError;
use crate::ui::filter;
use crate::vm::name::VmName;

/// How often a log is looked at while it is followed.
const POLL: Duration = Duration::from_millis(100);

/// How much is read at once, in bytes. A longer line is shown in parts.
const CHUNK: usize = 64 * 1024;

/// Show what a VM wrote to its console, or what QEMU said
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ai-vm logs web\n  \
    ai-vm logs -f web                                     and what comes\n  \
    ai-vm logs --qemu web                                 what QEMU said")]
pub struct Args {
    /// The VM
    #[arg(value_name = "NAME", value_parser = value::<VmName>)]
    name: VmName,
    /// Show what QEMU said instead of the guest's console
    #[arg(long)]
    qemu: bool,
    /// Show the launch before the present one
    #[arg(long, conflicts_with = "follow")]
    earlier: bool,
    /// Go on as more is written, until the VM stops
    #[arg(short, long)]
    follow: bool,
    /// Begin with the last lines only
    #[arg(short = 'n', long, value_name = "LINES")]
    lines: Option<usize>,
    /// Pass control characters and escape sequences of the guest on. Not safe on a terminal
    #[arg(long)]
    raw: bool,
}

/// Shows the log.
pub fn run(ctx: &Context, args: &Args) -> Result<u8, Failure> {
    let dir = ctx.registry().dir(&args.name);
    if !dir.path().exists() {
        return Err(ctx.registry().not_found(&args.name).into());
    }
    if ctx.registry().get(&args.name).is_ok_and(|record| record.guest.is_adopted()) {
        return Err(LifecycleError::Adopted { name: args.name.clone() }.into());
    }
    let path = dir.file(match (args.qemu, args.earlier) {
        (false, false) => VmDir::CONSOLE_LOG,
        (false, true) => VmDir::EARLIER_CONSOLE_LOG,
        (true, false) => VmDir::QEMU_LOG,
        (true, true) => VmDir::EARLIER_QEMU_LOG,
    });
    let mut log = Log { inode: None, position: 0, partial: Vec::new() };
    if let Some(lines) = args.lines {
        log.position = start_of_last(&path, lines)?;
    }
    loop {
        // Asked first: what is written between the question and the read is read.
        let alive = args.follow && lock::is_held(&dir.file(VmDir::RUN_LOCK))?;
        while log.read(&path)? {
            ctx.print(&shown(&log.take_lines(), args.raw))?;
        }
        if !alive {
            ctx.print(&shown(&log.take_rest(), args.raw))?;
            return Ok(0);
        }
        std::thread::sleep(POLL);
    }
}

fn shown(bytes: &[u8], raw: bool) -> String {
    let text = String::from_utf8_lossy(bytes);
    if raw { text.into_owned() } else { filter::lines(&text) }
}

/// A log as far as it has been read.
struct Log {
    inode: Option<u64>,
    position: u64,
    /// What was read after the last line's end.
    partial: Vec<u8>,
}

impl Log {
    /// Reads what has come since; false when nothing has. A log that was replaced is read from its beginning.
    fn read(&mut self, path: &Path) -> Result<bool, FileError> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            // Nothing was logged yet.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(failed("read", path)(error)),
        };
        let mut read = || {
            let inode = file.metadata()?.ino();
            if self.inode.is_some_and(|known| known != inode) {
                self.position = 0;
            }
            self.inode = Some(inode);
            file.seek(SeekFrom::Start(self.position))?;
            let mut chunk = vec![0; CHUNK];
            let count = file.read(&mut chunk)?;
            self.position += count as u64;
            self.partial.extend_from_slice(chunk.get(..count).unwrap_or_default());
            Ok(count > 0)
        };
        read().map_err(failed("read", path))
    }

    /// Takes the whole lines, or everything when a line is endless.
    fn take_lines(&mut self) -> Vec<u8> {
        let end = self.partial.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let end = if end == 0 && self.partial.len() >= CHUNK { self.partial.len() } else { end };
        self.partial.drain(..end).collect()
    }

    fn take_rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.partial)
    }
}

/// Returns where the last lines of a file begin. Looks at the last MiB at most.
fn start_of_last(path: &Path, lines: usize) -> Result<u64, FileError> {
    let length = match std::fs::metadata(path) {
        Ok(found) => found.len(),
        Err(_) => return Ok(0),
    };
    let tail = crate::host::files::read_tail(path, 1 << 20)?;
    let body = tail.strip_suffix(b"\n").unwrap_or(&tail);
    let ends = body.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    let from = match lines {
        0 => tail.len(),
        lines => ends.take(lines).nth(lines - 1).unwrap_or(0),
    };
    Ok(length.saturating_sub((tail.len() - from) as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_lines_begin_where_they_should() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l");
        std::fs::write(&path, "one\ntwo\nthree\n").unwrap();
        for (lines, from) in [(0, 14), (1, 8), (2, 4), (3, 0), (9, 0)] {
            assert_eq!(start_of_last(&path, lines).unwrap(), from, "{lines}");
        }
    }

    #[test]
    fn a_replaced_log_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l");
        let mut log = Log { inode: None, position: 0, partial: Vec::new() };
        assert!(!log.read(&path).unwrap());
        std::fs::write(&path, "a\nb").unwrap();
        assert!(log.read(&path).unwrap());
        assert_eq!(log.take_lines(), b"a\n");
        std::fs::write(dir.path().join("m"), "c\n").unwrap();
        std::fs::rename(dir.path().join("m"), &path).unwrap();
        assert!(log.read(&path).unwrap());
        assert_eq!(log.take_rest(), b"bc\n");
    }
}

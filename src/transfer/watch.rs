//! How a copy is getting on: what it has moved, what went wrong with single files, whether it is still wanted.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};

/// What is told about a single file, not filtered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// It could not be copied, or not removed.
    Problem(String),
    /// It is left out on purpose.
    Skipped(String),
}

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Guests are being reached.
    Reaching,
    /// Both sides are being compared.
    Comparing,
    /// Content passes.
    Copying,
    /// The guest puts in place what it has got.
    Placing,
}

/// The state of a copy, shared by whoever works on it.
pub struct Watch {
    moved: AtomicU64,
    files: AtomicU64,
    /// Of the files that have been handed over.
    content: AtomicU64,
    /// Of the file that is being handed over.
    current: AtomicU64,
    expected: AtomicU64,
    /// How many parts the copy has, and of how many it is known how much they are.
    parts: AtomicUsize,
    measured: AtomicUsize,
    stage: AtomicU8,
    removed: AtomicU64,
    problems: AtomicU64,
    cancelled: AtomicBool,
    tell: Box<dyn Fn(Report) + Send + Sync>,
}

impl Watch {
    /// Begins with nothing; `tell` is told about single files.
    pub fn new(tell: impl Fn(Report) + Send + Sync + 'static) -> Self {
        Self {
            moved: AtomicU64::new(0),
            files: AtomicU64::new(0),
            content: AtomicU64::new(0),
            current: AtomicU64::new(0),
            expected: AtomicU64::new(0),
            parts: AtomicUsize::new(1),
            measured: AtomicUsize::new(0),
            stage: AtomicU8::new(Stage::Reaching as u8),
            removed: AtomicU64::new(0),
            problems: AtomicU64::new(0),
            cancelled: AtomicBool::new(false),
            tell: Box::new(tell),
        }
    }

    /// Counts bytes that have passed.
    pub fn add(&self, bytes: usize) {
        self.moved.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Says what is being done now.
    pub fn enter(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Relaxed);
    }

    /// Returns what is being done.
    pub fn stage(&self) -> Stage {
        let stage = self.stage.load(Ordering::Relaxed);
        let all = [Stage::Comparing, Stage::Copying, Stage::Placing];
        all.into_iter().find(|known| *known as u8 == stage).unwrap_or(Stage::Reaching)
    }

    /// Says of how many parts the copy consists.
    pub fn consists_of(&self, parts: usize) {
        self.parts.store(parts, Ordering::Relaxed);
    }

    /// Says how many bytes of content a part has.
    pub fn expect(&self, bytes: u64) {
        self.expected.fetch_add(bytes, Ordering::Relaxed);
        self.measured.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how many bytes of content there are in all, once that is known.
    pub fn expected(&self) -> Option<u64> {
        let is_known = self.measured.load(Ordering::Relaxed) == self.parts.load(Ordering::Relaxed);
        is_known.then(|| self.expected.load(Ordering::Relaxed))
    }

    /// Counts bytes of content of a file that is being handed over.
    pub fn pass(&self, bytes: usize) {
        if self.current.fetch_add(bytes as u64, Ordering::Relaxed) == 0 {
            self.enter(Stage::Copying);
        }
    }

    /// Counts the bytes that are read of a file as those that pass.
    pub fn counting<'a>(&'a self, from: &'a mut dyn Read) -> impl Read + 'a {
        Counting { from, watch: self }
    }

    /// Returns how many bytes of content have passed. Holes count when their file has been handed over.
    pub fn passed(&self) -> u64 {
        self.content() + self.current.load(Ordering::Relaxed)
    }

    /// Counts a file that has been handed over, with so many bytes of content.
    pub fn file(&self, content: u64) {
        self.files.fetch_add(1, Ordering::Relaxed);
        self.current.store(0, Ordering::Relaxed);
        self.content.fetch_add(content, Ordering::Relaxed);
    }

    /// Counts what has been, or with all that was sent is going to be, removed.
    pub fn remove(&self, count: usize) {
        self.removed.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Returns how many bytes of content the files had that have been handed over.
    pub fn content(&self) -> u64 {
        self.content.load(Ordering::Relaxed)
    }

    /// Returns how much was removed; a directory counts once.
    pub fn removed(&self) -> u64 {
        self.removed.load(Ordering::Relaxed)
    }

    /// Returns how many bytes have passed, including what describes files.
    pub fn moved(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }

    /// Returns how many files, directories and links have been handed over.
    pub fn files(&self) -> u64 {
        self.files.load(Ordering::Relaxed)
    }

    /// Tells about a file that could not be copied.
    pub fn problem(&self, text: String) {
        self.problems.fetch_add(1, Ordering::Relaxed);
        (self.tell)(Report::Problem(text));
    }

    /// Tells about a file that is left out.
    pub fn skipped(&self, text: String) {
        (self.tell)(Report::Skipped(text));
    }

    /// Returns how many files could not be copied.
    pub fn problems(&self) -> u64 {
        self.problems.load(Ordering::Relaxed)
    }

    /// Says that it is not wanted any more.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Tells whether it is not wanted any more.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

/// A file whose bytes are counted as they are read.
struct Counting<'a> {
    from: &'a mut dyn Read,
    watch: &'a Watch,
}

impl Read for Counting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.watch.pass(count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_is_known_when_its_parts_are() {
        let watch = Watch::new(|_| {});
        watch.consists_of(2);
        watch.expect(10);
        assert_eq!(watch.expected(), None);
        watch.expect(5);
        assert_eq!((watch.expected(), watch.stage()), (Some(15), Stage::Reaching));
        let mut data: &[u8] = b"12345";
        let mut read = [0; 4];
        assert_eq!(watch.counting(&mut data).read(&mut read).unwrap(), 4);
        assert_eq!((watch.passed(), watch.stage()), (4, Stage::Copying));
        // With its holes.
        watch.file(10);
        assert_eq!((watch.passed(), watch.content()), (10, 10));
    }
}

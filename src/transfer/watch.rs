//! How a copy is getting on: what it has moved, what went wrong with single files, whether it is still wanted.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What is told about a single file, not filtered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// It could not be copied, or not removed.
    Problem(String),
    /// It is left out on purpose.
    Skipped(String),
}

/// The state of a copy, shared by whoever works on it.
pub struct Watch {
    moved: AtomicU64,
    files: AtomicU64,
    content: AtomicU64,
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

    /// Counts a file that has been handed over, with so many bytes of content.
    pub fn file(&self, content: u64) {
        self.files.fetch_add(1, Ordering::Relaxed);
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

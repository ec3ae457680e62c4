//! How long things took last time on this machine, for a guess at how long they will take.
//!
//! What cannot be read or written here is no reason for anything: then there is no guess.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::host::files;
use crate::host::layout::Layout;

/// The largest book that is read, in bytes.
const MAX_BYTES: u64 = 64 * 1024;

/// How many things are remembered. Beyond it all is forgotten, because nobody knows what is not done any more.
const MAX_KEYS: usize = 100;

/// What is known: of each thing its steps in order, and how many seconds each took.
type Book = BTreeMap<String, Vec<(String, f64)>>;

/// Something that is done in steps.
#[derive(Debug)]
pub struct Course {
    book: PathBuf,
    key: String,
    before: Vec<(String, f64)>,
    done: Vec<(String, f64)>,
    current: Option<(String, Instant)>,
}

impl Course {
    /// Begins. `key` is the same for what takes about the same time.
    pub fn begin(layout: &Layout, key: String) -> Self {
        let book = layout.durations();
        let before = read(&book).remove(&key).unwrap_or_default();
        Self { book, key, before, done: Vec::new(), current: None }
    }

    /// Enters a step that began some time ago. Returns how long all of it will still take, about, if that is known.
    pub fn enter(&mut self, step: &str, ago: Duration) -> Option<Duration> {
        let now = Instant::now();
        let began = now.checked_sub(ago).unwrap_or(now);
        self.close(began);
        self.current = Some((step.to_owned(), began));
        let at = self.before.iter().position(|(known, _)| known == step)?;
        let left: f64 = self.before.iter().skip(at).map(|(_, seconds)| seconds).sum();
        Duration::try_from_secs_f64(left).ok()?.checked_sub(ago).filter(|left| !left.is_zero())
    }

    /// Writes down how long it took. Not to be called when it did not come to its end.
    pub fn finish(mut self) {
        self.close(Instant::now());
        let mut book = read(&self.book);
        if book.len() >= MAX_KEYS {
            book.clear();
        }
        book.insert(self.key, self.done);
        let _ = serde_json::to_string(&book).map(|text| files::replace(&self.book, text.as_bytes()));
    }

    fn close(&mut self, now: Instant) {
        let closed = self.current.take();
        self.done
            .extend(closed.map(|(step, began)| (step, now.saturating_duration_since(began).as_secs_f64())));
    }
}

fn read(book: &std::path::Path) -> Book {
    let content = files::read_bounded(book, MAX_BYTES).unwrap_or_default();
    serde_json::from_slice(&content).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_known_from_the_second_time_on() {
        let tmp = tempfile::tempdir().unwrap();
        let layout = crate::host::data_dir::open(&tmp.path().join("d")).unwrap();
        let go = |ago: [u64; 2]| {
            let mut course = Course::begin(&layout, "tea".to_owned());
            let left = ["boiling", "steeping"].map(|step| {
                let ago = if step == "boiling" { ago[0] } else { ago[1] };
                course.enter(step, Duration::from_secs(ago)).map(|left| left.as_secs())
            });
            course.finish();
            left
        };
        // The second step began 40 s ago, 60 s after the first.
        assert_eq!(go([100, 40]), [None, None]);
        assert_eq!(go([0, 0]), [Some(100), Some(40)]);
        // It took no time at all, which is nothing that could be said.
        assert_eq!(go([5, 5]), [None, None]);
        let mut course = Course::begin(&layout, "tea".to_owned());
        assert_eq!(course.enter("pouring", Duration::ZERO), None);
    }

    #[test]
    fn a_book_that_is_not_one_is_no_reason_for_anything() {
        let tmp = tempfile::tempdir().unwrap();
        let layout = crate::host::data_dir::open(&tmp.path().join("d")).unwrap();
        for content in
            ["", "[]", "{\"tea\":3}", "{\"tea\":[[\"boiling\",-1e300]]}", "{\"tea\":[[\"boiling\",1e300]]}"]
        {
            std::fs::write(layout.durations(), content).unwrap();
            let mut course = Course::begin(&layout, "tea".to_owned());
            assert_eq!(course.enter("boiling", Duration::ZERO), None, "{content}");
            course.finish();
            assert!(read(&layout.durations()).contains_key("tea"));
        }
    }
}

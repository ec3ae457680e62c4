//! A menu: rows to pick one from, filtered by what is typed; in some, another value may be typed. Pure.

mod draw;

use frizbee::{Config, Matcher};

use super::frame::Style;
use super::keys::Key;
use super::text::Text;

/// The most rows that are shown at once.
const MAX_ROWS: usize = 12;

/// Something that can be picked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What it is called.
    pub word: String,
    /// What is to be said of it.
    pub about: String,
}

impl Row {
    /// Returns a row; `about` may be empty.
    pub fn new(word: impl Into<String>, about: impl Into<String>) -> Self {
        Self { word: word.into(), about: about.into() }
    }
}

/// What may be typed instead of picked.
pub type Typed<'a> = Box<dyn Fn(&str) -> Result<String, String> + 'a>;

/// What a text that has been begun can become.
pub type Completed<'a> = Box<dyn Fn(&str) -> Vec<Row> + 'a>;

/// What came of a menu.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// One of its rows, counted from 0.
    Row(usize),
    /// What was typed, as it is written.
    Typed(String),
    /// The menu before this one is wanted.
    Back,
}

/// A row that is shown: one of the menu's, with its number, or what has been typed.
#[derive(Clone, Debug)]
struct Shown {
    row: Row,
    number: Option<usize>,
}

/// A menu that is open.
pub struct Menu<'a> {
    title: String,
    /// Lines above it, in full.
    above: Vec<(Style, String)>,
    rows: Vec<Row>,
    typed: Option<Typed<'a>>,
    completed: Option<Completed<'a>>,
    text: Text,
    shown: Vec<Shown>,
    /// The row that the cursor is at, of those that are shown, and the first of them that is on the screen.
    at: usize,
    top: usize,
    wrong: Option<String>,
    /// What Escape does.
    back: &'static str,
}

impl<'a> Menu<'a> {
    /// Returns a menu with the cursor at its first row.
    pub fn new(title: impl Into<String>, rows: Vec<Row>) -> Self {
        let mut menu = Self {
            title: title.into(),
            above: Vec::new(),
            rows,
            typed: None,
            completed: None,
            text: Text::default(),
            shown: Vec::new(),
            at: 0,
            top: 0,
            wrong: None,
            back: "goes back",
        };
        menu.filter();
        menu
    }

    /// Puts the cursor at this row.
    pub fn at(mut self, row: usize) -> Self {
        self.at = row.min(self.shown.len().saturating_sub(1));
        self
    }

    /// Says something above it.
    pub fn below(mut self, style: Style, text: impl Into<String>) -> Self {
        self.above.push((style, text.into()));
        self
    }

    /// Says what Escape does, where that is not to go back.
    pub fn leaving(mut self, back: &'static str) -> Self {
        self.back = back;
        self
    }

    /// Says what is wrong, until a key is pressed.
    pub fn wrong(mut self, wrong: Option<String>) -> Self {
        self.wrong = wrong;
        self
    }

    /// Lets another value be typed: `typed` returns how it is written, or what is wrong with it.
    pub fn or_typed(mut self, typed: impl Fn(&str) -> Result<String, String> + 'a) -> Self {
        self.typed = Some(Box::new(typed));
        // What has been begun may be such a value already.
        if !self.text.whole().is_empty() {
            self.filter();
        }
        self
    }

    /// Offers what a text can become in the place of rows that stay. The tabulator goes on with the one at the cursor.
    pub fn completed(mut self, completed: impl Fn(&str) -> Vec<Row> + 'a, begun: &str) -> Self {
        self.completed = Some(Box::new(completed));
        self.text.set(begun);
        self.filter();
        self
    }

    /// Does what a key does; returns the answer when it is one.
    pub fn press(&mut self, key: Key) -> Option<Answer> {
        self.wrong = None;
        let last = self.shown.len().saturating_sub(1);
        match key {
            Key::Esc => return Some(Answer::Back),
            Key::Enter => return self.taken(),
            Key::Up => self.at = self.at.checked_sub(1).unwrap_or(last),
            Key::Down => self.at = if self.at < last { self.at + 1 } else { 0 },
            Key::PageUp => self.at = self.at.saturating_sub(MAX_ROWS),
            Key::PageDown => self.at = (self.at + MAX_ROWS).min(last),
            Key::Tab => {
                let begun = self.shown.get(self.at).map(|shown| shown.row.word.clone());
                if let (Some(word), true) = (begun, self.completed.is_some()) {
                    self.text.set(&format!("{}/", word.trim_end_matches('/')));
                    self.filter();
                }
            }
            key => {
                let before = self.text.whole();
                if self.text.press(key) && self.text.whole() != before {
                    self.filter();
                }
            }
        }
        None
    }

    fn taken(&mut self) -> Option<Answer> {
        match self.shown.get(self.at) {
            Some(Shown { number: Some(number), .. }) => return Some(Answer::Row(*number)),
            Some(Shown { row, number: None }) => return Some(Answer::Typed(row.word.clone())),
            None => {}
        }
        let text = self.text.whole();
        self.wrong = Some(match &self.typed {
            Some(typed) => match typed(&text) {
                Ok(word) => return Some(Answer::Typed(word)),
                Err(wrong) => wrong,
            },
            None => format!("nothing here is like `{text}`"),
        });
        None
    }

    /// Chooses the rows that are shown.
    fn filter(&mut self) {
        let text = self.text.whole();
        let numbered =
            |number: usize| Some(Shown { row: self.rows.get(number)?.clone(), number: Some(number) });
        let mut shown: Vec<Shown> = match (&self.completed, &self.typed) {
            (Some(completed), _) => {
                completed(&text).into_iter().map(|row| Shown { row, number: None }).collect()
            }
            // Of what can be typed, the beginning is meant.
            (None, Some(_)) => {
                let is_begun = |number: &usize| {
                    self.rows.get(*number).is_some_and(|row| row.word.starts_with(text.as_str()))
                };
                (0..self.rows.len()).filter(is_begun).filter_map(numbered).collect()
            }
            (None, None) => like(&text, &self.rows).into_iter().filter_map(numbered).collect(),
        };
        let typed = self.typed.as_ref().filter(|_| !text.is_empty()).and_then(|typed| typed(&text).ok());
        if let Some(word) = typed {
            // What is typed comes first, also where it is a row as it stands.
            let known = shown.iter().position(|shown| shown.row.word == word).map(|at| shown.remove(at));
            let all = self.rows.iter().position(|row| row.word == word).and_then(numbered);
            shown.insert(0, known.or(all).unwrap_or_else(|| Shown { row: Row::new(word, ""), number: None }));
        }
        self.shown = shown;
        (self.at, self.top) = (0, 0);
    }
}

/// Returns the rows that are like a text: those of which the word is, the best first, then those of which that is which is
/// said of them. All in their order where there is no text.
fn like(text: &str, rows: &[Row]) -> Vec<usize> {
    if text.trim().is_empty() {
        return (0..rows.len()).collect();
    }
    let mut matcher = Matcher::new(text.trim(), &Config::default());
    let mut found = |of: fn(&Row) -> &str| -> Vec<usize> {
        let texts: Vec<&str> = rows.iter().map(of).collect();
        let found = matcher.match_list(&texts).into_iter();
        found.filter_map(|found| usize::try_from(found.index).ok()).collect()
    };
    let mut like = found(|row| &row.word);
    let by_the_way = found(|row| &row.about).into_iter().filter(|row| !like.contains(row));
    like.extend(by_the_way.collect::<Vec<_>>());
    like
}

#[cfg(test)]
mod tests;

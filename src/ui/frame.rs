//! Some lines on the terminal that are drawn again and again in the same place.

use std::io::{self, Write};

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::filter;

/// How a piece of text is to look. Only with the terminal's own colours, so it is legible on any background; what it
/// says is never in the colour alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Like everything else.
    Plain,
    /// What a line is about.
    Strong,
    /// What need not be read.
    Faint,
    /// What is chosen.
    Chosen,
    /// What is wrong.
    Wrong,
}

impl Style {
    /// Returns the parameters of Select Graphic Rendition (ECMA-48).
    const fn rendition(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Strong => Some("1"),
            Self::Faint => Some("2"),
            Self::Chosen => Some("1;36"),
            Self::Wrong => Some("31"),
        }
    }
}

/// A line: pieces of text, each as it is to look.
pub type Line = Vec<(Style, String)>;

/// Where the lines are on the screen.
#[derive(Debug, Default)]
pub struct Frame {
    colour: bool,
    /// The columns of each line that was drawn.
    drawn: Vec<usize>,
    /// The line and the column of the cursor in them.
    cursor: (usize, usize),
    /// The columns of the screen that they were drawn for.
    columns: usize,
}

impl Frame {
    /// Returns a frame without lines, which begins where the cursor is.
    pub fn new(colour: bool) -> Self {
        Self { colour, ..Self::default() }
    }

    /// Draws lines in the place of those that are there, each cut to the screen, and puts the cursor into one.
    pub fn draw(&mut self, lines: &[Line], cursor: (usize, usize), columns: usize) -> io::Result<()> {
        let text = self.sequence(lines, cursor, columns);
        write(&text)
    }

    /// Takes the lines away. The cursor is where they began.
    pub fn erase(&mut self, columns: usize) -> io::Result<()> {
        let text = format!("{}\u{1b}[J", self.to_begin(columns));
        (self.drawn, self.cursor) = (Vec::new(), (0, 0));
        write(&text)
    }

    fn sequence(&mut self, lines: &[Line], cursor: (usize, usize), columns: usize) -> String {
        // The last column stays free: behind it terminals differ in where the cursor is.
        let room = columns.saturating_sub(1).max(1);
        let mut text = self.to_begin(columns);
        if columns != std::mem::replace(&mut self.columns, columns) {
            // Else a terminal that wraps lines anew takes what is drawn over a wrapped line for a part of it.
            text.push_str("\u{1b}[J");
        }
        self.drawn.clear();
        for (at, line) in lines.iter().enumerate() {
            if at > 0 {
                text.push_str("\r\n");
            }
            self.drawn.push(self.draw_line(&mut text, line, room));
            text.push_str("\u{1b}[K");
        }
        text.push_str("\u{1b}[J\r");
        let last = lines.len().saturating_sub(1);
        let (row, column) = (cursor.0.min(last), cursor.1.min(room));
        if last > row {
            text.push_str(&format!("\u{1b}[{}A", last - row));
        }
        if column > 0 {
            text.push_str(&format!("\u{1b}[{column}C"));
        }
        self.cursor = (row, column);
        text
    }

    /// Returns what brings the cursor to the first line. On a screen that has become narrower, lines take several rows.
    fn to_begin(&self, columns: usize) -> String {
        let rows = |width: &usize| width.saturating_sub(1) / columns.max(1);
        let above = self.drawn.iter().take(self.cursor.0);
        let up: usize = above.map(|width| 1 + rows(width)).sum::<usize>() + self.cursor.1 / columns.max(1);
        if up > 0 { format!("\r\u{1b}[{up}A") } else { "\r".to_owned() }
    }

    /// Adds a line, cut to the columns that there are, and returns how many it takes.
    fn draw_line(&self, text: &mut String, line: &Line, room: usize) -> usize {
        let mut used = 0;
        for (style, piece) in line {
            let rendition = style.rendition().filter(|_| self.colour);
            let shown = cut(&filter::one_line_untrimmed(piece).replace('\t', " "), room - used);
            used += shown.width();
            match rendition {
                Some(rendition) if !shown.is_empty() => {
                    text.push_str(&format!("\u{1b}[{rendition}m{shown}\u{1b}[0m"));
                }
                _ => text.push_str(&shown),
            }
        }
        used
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    stderr.write_all(text.as_bytes())?;
    stderr.flush()
}

/// Cuts a text to so many columns; `…` tells that something is missing.
pub fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    format!("{}{}", beginning(text.chars(), columns), mark(columns))
}

/// Cuts the beginning off instead.
pub fn cut_begin(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let end = beginning(text.chars().rev(), columns);
    format!("{}{}", mark(columns), end.chars().rev().collect::<String>())
}

/// Returns as many characters as have room beside the mark.
fn beginning(characters: impl Iterator<Item = char>, columns: usize) -> String {
    let mut used = 1;
    let fits = |c: &char| {
        used += c.width().unwrap_or(0);
        used <= columns
    };
    characters.take_while(fits).collect()
}

const fn mark(columns: usize) -> &'static str {
    if columns > 0 { "…" } else { "" }
}

/// Breaks a text into lines of at most so many columns, between words where that can be.
pub fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split_inclusive(' ') {
            if line.width() + word.trim_end().width() > columns && !line.is_empty() {
                lines.push(std::mem::take(&mut line));
            }
            for c in word.chars() {
                // A blank at the end of a line needs no place.
                if c != ' ' && line.width() + c.width().unwrap_or(0) > columns {
                    lines.push(std::mem::take(&mut line));
                }
                line.push(c);
            }
        }
        lines.push(line);
    }
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(text: &str) -> Line {
        vec![(Style::Chosen, text.to_owned())]
    }

    #[test]
    fn drawn_in_the_same_place_and_as_wide_as_the_screen() {
        let mut frame = Frame::new(true);
        let first = frame.sequence(&[line("one"), line("two"), line("three")], (0, 3), 6);
        assert_eq!(
            first,
            "\r\u{1b}[J\u{1b}[1;36mone\u{1b}[0m\u{1b}[K\r\n\u{1b}[1;36mtwo\u{1b}[0m\u{1b}[K\r\n\u{1b}[1;36mthree\u{1b}[0m\
             \u{1b}[K\u{1b}[J\r\u{1b}[2A\u{1b}[3C"
        );
        assert!(frame.sequence(&[line("x"), line("y")], (1, 0), 6).starts_with("\r\u{1b}[1;36mx"));
        assert!(frame.sequence(&[line("x")], (0, 0), 6).starts_with("\r\u{1b}[1A"));
    }

    #[test]
    fn a_screen_that_became_narrower_has_more_rows() {
        let mut frame = Frame::new(false);
        frame.sequence(&[line("0123456789"), line("x")], (1, 1), 20);
        assert_eq!(frame.to_begin(20), "\r\u{1b}[1A");
        assert_eq!(frame.to_begin(4), "\r\u{1b}[3A");
    }

    #[test]
    fn without_colour_nothing_but_the_cursor_is_moved() {
        let mut frame = Frame::new(false);
        let text = frame.sequence(&[line("a\u{1b}[31m\nb")], (0, 0), 40);
        assert_eq!(text, "\r\u{1b}[Ja b\u{1b}[K\u{1b}[J\r");
    }

    #[test]
    fn cut_by_what_characters_take() {
        assert_eq!(
            (cut("abc", 3).as_str(), cut("abcd", 3).as_str(), cut("abc", 0).as_str()),
            ("abc", "ab…", "")
        );
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut_begin("/a/b/c", 4), "…b/c");
        assert_eq!(wrapped("one two three\nx", 7), ["one two", "three", "x"]);
        assert_eq!(wrapped("abcdefgh i", 3), ["abc", "def", "gh", "i"]);
    }

    proptest! {
        #[test]
        fn nothing_is_wider_than_it_may_be(text in "\\PC{0,60}", columns in 1usize..50) {
            let text = filter::lines(&text);
            prop_assert!(cut(&text, columns).width() <= columns);
            prop_assert!(cut_begin(&text, columns).width() <= columns);
            for line in wrapped(&text, columns.max(2)) {
                prop_assert!(line.width() <= columns.max(2), "{line:?}");
            }
        }
    }
}

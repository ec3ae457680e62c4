//! A menu as lines.

use unicode_width::UnicodeWidthStr;

use super::{MAX_ROWS, Menu, Shown};
use crate::ui::frame::{Line, Style, cut_begin, wrapped};

impl Menu<'_> {
    /// Returns the lines of the menu for a screen of this size, and the line and the column of the cursor.
    pub fn lines(&mut self, columns: usize, rows: usize) -> (Vec<Line>, (usize, usize)) {
        let room = columns.saturating_sub(1).max(1);
        let full = |style: Style, text: &str, indent: usize| {
            let lines = wrapped(text, room.saturating_sub(indent)).into_iter();
            lines.map(|line| vec![(style, format!("{}{line}", " ".repeat(indent)))]).collect::<Vec<Line>>()
        };
        let mut lines: Vec<Line> =
            self.above.iter().flat_map(|(style, text)| full(*style, text, 0)).collect();
        let wrong: Vec<Line> = self.wrong.iter().flat_map(|wrong| full(Style::Wrong, wrong, 2)).collect();
        // The line that is typed in, and the last one.
        let fixed = wrong.len() + 2;
        // Of what stands above, as much as leaves a few rows.
        let spare = rows.saturating_sub(fixed + MAX_ROWS.min(self.shown.len()).clamp(1, 4));
        lines.drain(..lines.len().saturating_sub(spare));
        let row = lines.len();
        let (input, column) = self.input(room);
        lines.push(input);
        let height = rows.saturating_sub(fixed + row).clamp(1, MAX_ROWS);
        lines.extend(self.window(height));
        lines.extend(wrong);
        lines.push(vec![(Style::Faint, self.help(height))]);
        (lines, (row, column))
    }

    fn input(&self, room: usize) -> (Line, usize) {
        let mut title = format!("{}: ", self.title);
        if title.width() + 8 > room {
            title = "> ".to_owned();
        }
        let before = cut_begin(self.text.before(), room.saturating_sub(title.width()));
        let column = title.width() + before.width();
        (vec![(Style::Strong, title), (Style::Plain, format!("{before}{}", self.text.behind()))], column)
    }

    /// Returns the lines of the rows around the cursor.
    fn window(&mut self, height: usize) -> Vec<Line> {
        self.top = self.top.min(self.at).max((self.at + 1).saturating_sub(height));
        let shown = self.shown.iter().enumerate().skip(self.top).take(height);
        let widest = shown.clone().map(|(_, shown)| shown.row.word.width()).max().unwrap_or(0);
        let line = |(number, Shown { row, .. }): (usize, &Shown)| {
            let gap = if row.about.is_empty() { 0 } else { widest - row.word.width() + 2 };
            let (mark, style) = if number == self.at { ("> ", Style::Chosen) } else { ("  ", Style::Plain) };
            vec![
                (style, format!("{mark}{}{}", row.word, " ".repeat(gap))),
                (if number == self.at { Style::Plain } else { Style::Faint }, row.about.clone()),
            ]
        };
        shown.map(line).collect()
    }

    /// Says what keys do, and how many rows there are where not all are shown.
    fn help(&self, height: usize) -> String {
        let more = match self.shown.len() {
            count if count > height => format!("{count} rows; "),
            _ => String::new(),
        };
        let typing = match (&self.completed, &self.typed) {
            (Some(_), _) => ", Tab goes on with it",
            (None, Some(_)) if self.rows.is_empty() => " as it is typed",
            (None, Some(_)) => ", or type another one",
            (None, None) => ", typing filters",
        };
        format!("{more}Esc {}, Enter takes it{typing}", self.back)
    }
}

//! Tables that fit the terminal and stay easy to cut apart with other tools.

use comfy_table::{Cell, ColumnConstraint, ContentArrangement, Table, presets};

use super::filter;
use super::terminal::Terminal;

/// Lays out rows under headings: two blanks between columns, no frame. Wraps only on a terminal.
pub fn render(terminal: &Terminal, headings: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(headings.iter().map(Cell::new));
    for row in rows {
        table.add_row(row.into_iter().map(|cell| Cell::new(filter::one_line(&cell))));
    }
    match terminal.width {
        Some(width) => {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
            if let Some(name) = table.column_mut(0) {
                // The first column names things that will be typed again: it is never wrapped.
                name.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        None => {
            table.set_content_arrangement(ContentArrangement::Disabled);
        }
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let text: String = table.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    text
}

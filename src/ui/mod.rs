//! What a person sees: streams, tables, progress. Data goes to stdout, status to stderr, and guest text is
//! filtered before it reaches a terminal.

pub mod console_lines;
pub mod filter;
mod interrupt;
pub mod json;
mod left;
pub mod mode;
pub mod progress;
pub mod table;
pub mod terminal;

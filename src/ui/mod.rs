//! What a person sees: streams, tables, progress, menus. Data goes to stdout, status to stderr, and guest text is
//! filtered before it reaches a terminal.

pub mod console_lines;
pub mod dialog;
pub mod filter;
pub mod frame;
mod interrupt;
pub mod json;
mod keyboard;
mod keys;
mod left;
pub mod menu;
pub mod mode;
pub mod progress;
pub mod table;
pub mod terminal;
mod text;
pub mod time;

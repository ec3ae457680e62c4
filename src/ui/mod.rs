//! What a person sees: streams, tables, progress, menus. Data goes to stdout, status to stderr, and guest text is
//! filtered before it reaches a terminal.

pub mod console_lines;
pub mod dialog;
pub mod filter;
pub mod frame;
mod keyboard;
mod keys;
pub mod menu;
pub mod progress;
pub mod table;
pub mod terminal;
mod text;
pub mod time;

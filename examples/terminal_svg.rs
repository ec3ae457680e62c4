//! Makes a picture of a terminal: reads text with escape codes for colours on stdin, writes an SVG to stdout.
//!
//! `script/record` calls it. Colours and background are part of the picture, so that it can be read on a light page and on a
//! dark one; the font is whatever monospace the reader has, so that nothing is fetched.

use std::io::{Read, Write};

use anstyle_svg::{Term, WIN10_CONSOLE};

fn main() -> std::io::Result<()> {
    let mut screen = String::new();
    std::io::stdin().read_to_string(&mut screen)?;
    let picture = Term::new().palette(WIN10_CONSOLE).render_svg(&screen);
    std::io::stdout().write_all(picture.as_bytes())
}

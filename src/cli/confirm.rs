//! Questions that a person at a terminal answers with yes or no.

use std::io::Write;

use crate::cli::context::Context;
use crate::ui::filter;
use crate::ui::json::Told;
use crate::ui::mode::Mode;

/// Asks on stderr and waits for the answer; anything but yes is no. `None` where there is nobody to answer.
pub fn confirm(ctx: &Context, question: &str) -> Option<bool> {
    if !ctx.terminal.interactive {
        return None;
    }
    if ctx.terminal.mode == Mode::Json {
        ctx.terminal.told(Told::Question { message: filter::lines(question) });
    } else {
        let mut stderr = std::io::stderr();
        // A question that cannot be shown is answered by nobody.
        let _ = write!(stderr, "{question} [y/N] ").and_then(|()| stderr.flush());
    }
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    Some(read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes"))
}

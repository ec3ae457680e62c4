//! Questions that a person at a terminal answers with yes or no, and what else is typed there.

use std::io::{self, IsTerminal, Write};

use crate::cli::context::Context;
use crate::cli::failure::UsageError;
use crate::ui::filter;
use crate::ui::json::Told;
use crate::ui::mode::Mode;

/// Asks on stderr and waits for the answer; anything but yes is no. `None` where there is nobody to answer, or nobody may be
/// asked: what is to be typed instead is for the caller to say.
pub fn confirm(ctx: &Context, question: &str) -> Option<bool> {
    if !ctx.terminal.asks() {
        return None;
    }
    if ctx.terminal.mode == Mode::Json {
        ctx.terminal.told(Told::Question { message: filter::lines(question) });
    } else {
        let mut stderr = io::stderr();
        // A question that cannot be shown is answered by nobody.
        let _ = write!(stderr, "{question} [y/N] ").and_then(|()| stderr.flush());
    }
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer);
    Some(read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Sees to it that stdin is not a terminal at which somebody would have to type, where nothing may be asked.
pub fn may_read_stdin(ctx: &Context, hint: &str) -> Result<(), UsageError> {
    if ctx.terminal.no_input && io::stdin().is_terminal() {
        let message = "stdin is a terminal, and nothing may be asked here (`--no-input`)".to_owned();
        return Err(UsageError { message, hint: hint.to_owned() });
    }
    Ok(())
}

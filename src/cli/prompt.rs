//! What somebody wants to say to an agent: typed, or from stdin.

use std::io::{self, Read};

use crate::cli::confirm::may_read_stdin;
use crate::cli::context::Context;
use crate::cli::failure::{Failure, UsageError};
use crate::host::files::failed;

/// The longest text that can become an argument of a program, in bytes, with room for others.
pub const ARGUMENT: usize = 100 * 1024;

/// Returns the text that words are, or stdin's where they are `-`; `None` where there are none. One that is longer than
/// `limit` bytes is an error.
pub fn read(ctx: &Context, words: &[String], limit: usize) -> Result<Option<String>, Failure> {
    let text = match words {
        [] => return Ok(None),
        [dash] if dash == "-" => {
            may_read_stdin(ctx, "say it after `--`, or give it to stdin: `... - < FILE`")?;
            from_stdin(limit)?
        }
        words => words.join(" "),
    };
    let mistake = |message: String, hint: &str| Err(UsageError { message, hint: hint.to_owned() }.into());
    if text.trim().is_empty() {
        return mistake("the text is empty".to_owned(), "say what is to be done after `--`");
    }
    if text.len() > limit {
        let message = format!("the text has {} bytes, the limit is {limit}", text.len());
        return mistake(message, "copy it as a file with `ai-vm cp`, and tell the agent to read that");
    }
    Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// Reads stdin to its end, or a little more than what is taken.
fn from_stdin(limit: usize) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let read = io::stdin().lock().take(limit as u64 + 1).read_to_end(&mut bytes);
    read.map_err(failed("read", std::path::Path::new("/dev/stdin")))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

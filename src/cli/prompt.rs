//! What somebody wants to say to an agent: typed, or from stdin.

use std::io::{self, Read};

use crate::cli::failure::{Failure, UsageError};
use crate::host::files::failed;

/// The longest text, in bytes: as much as one argument of a program may have, with room for others.
const MAX: usize = 100 * 1024;

/// Returns the text that words are, or stdin's where they are `-`; `None` where there are none.
pub fn read(words: &[String]) -> Result<Option<String>, Failure> {
    let text = match words {
        [] => return Ok(None),
        [dash] if dash == "-" => from_stdin()?,
        words => words.join(" "),
    };
    let mistake = |message: String, hint: &str| Err(UsageError { message, hint: hint.to_owned() }.into());
    if text.trim().is_empty() {
        return mistake("the text is empty".to_owned(), "say what is to be done after `--`");
    }
    if text.len() > MAX {
        let message = format!("the text has {} bytes, the limit is {MAX}", text.len());
        return mistake(message, "copy it as a file with `ai-vm cp`, and tell the agent to read that");
    }
    Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// Reads stdin to its end, or a little more than what is taken.
pub fn from_stdin() -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let read = io::stdin().lock().take(MAX as u64 + 1).read_to_end(&mut bytes);
    read.map_err(failed("read", std::path::Path::new("/dev/stdin")))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

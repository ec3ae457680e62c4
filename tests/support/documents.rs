//! The commands that the documents say to type, and the session in which they are run.

use std::collections::BTreeSet;
use std::path::Path;

/// What somebody reads who uses ai-vm. The reference is made from the program itself.
const DOCUMENTS: &[&str] =
    &["README.md", "SECURITY.md", "docs/coming-from.md", "docs/how-to.md", "docs/troubleshooting.md", "docs/tutorial.md"];

/// One line of the session.
#[derive(Debug)]
pub struct Step {
    pub how: How,
    pub command: String,
}

/// What becomes of a command.
#[derive(Debug, PartialEq, Eq)]
pub enum How {
    /// Prepares for others, and has to succeed; no document says it.
    Prepare,
    /// Ends with this code.
    Ends(i32),
    /// Goes on until Ctrl-C, which is pressed when it has said this.
    Interrupted(&'static str),
    /// Cannot be run in a test, for this reason.
    Without(String),
}

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The session: see its own first lines.
pub fn session() -> Vec<Step> {
    let text = read("tests/guest/documents.session");
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (how, command) = line.split_once(' ').unwrap();
            let how = match how {
                "-" => How::Prepare,
                "int" => How::Interrupted(""),
                "boot" => How::Interrupted("ready in "),
                code => code.parse().map_or_else(|_| How::Without(code.to_owned()), How::Ends),
            };
            Step { how, command: command.trim().to_owned() }
        })
        .collect()
}

/// Every command in the documents: lines that begin with `$` where output is shown, and what begins with `ai-vm` in a line
/// of text.
pub fn commands() -> BTreeSet<String> {
    DOCUMENTS.iter().flat_map(|name| commands_in(&read(name))).collect()
}

fn commands_in(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_shown = false;
    for line in text.lines() {
        if line.starts_with("```") && !line[3..].contains('`') {
            is_shown = !is_shown;
        } else if is_shown {
            found.extend(line.strip_prefix("$ ").map(str::to_owned));
        } else {
            let code = line.split('`').skip(1).step_by(2).map(|code| code.replace("\\|", "|"));
            found.extend(code.filter(|code| code.contains("ai-vm ")));
        }
    }
    found
}

//! The commands that the documents say to type, and the session in which they are run.

use std::collections::BTreeSet;
use std::path::Path;

/// What somebody reads who uses ai-vm. The reference is made from the program itself.
const DOCUMENTS: &[&str] = &[
    "README.md",
    "SECURITY.md",
    "docs/coming-from.md",
    "docs/how-to.md",
    "docs/troubleshooting.md",
    "docs/tutorial.md",
];

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
    /// Goes on until Ctrl-C, which is pressed when it has said something.
    Interrupted,
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
                "int" => How::Interrupted,
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

fn commands_in(document: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut text = String::new();
    let mut is_shown = false;
    for line in document.lines() {
        if line.starts_with("```") && !line[3..].contains('`') {
            is_shown = !is_shown;
        } else if is_shown {
            found.extend(line.strip_prefix("$ ").map(str::to_owned));
        } else if line.is_empty() {
            found.extend(code_in(&std::mem::take(&mut text)));
        } else {
            text.push_str(line);
            // A row of a table ends with its line.
            text.push_str(if line.starts_with('|') { "\n" } else { " " });
        }
    }
    found.extend(code_in(&text));
    found
}

/// What is between as many backticks on both sides, and has a command of ours in it.
fn code_in(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(begin) = rest.find('`') {
        let marks = rest[begin..].len() - rest[begin..].trim_start_matches('`').len();
        let inner = &rest[begin + marks..];
        let mark = &rest[begin..begin + marks];
        let end = inner
            .match_indices(mark)
            .map(|(at, _)| at)
            .find(|at| !inner[at + marks..].starts_with('`') && !inner[..*at].ends_with('`'));
        let Some(end) = end else { break };
        let code = inner[..end].trim().replace("\\|", "|");
        // A message that speaks of a command is none.
        if code.contains("ai-vm ") && !code.contains(['\n', '`']) {
            found.push(code);
        }
        rest = &inner[end + marks..];
    }
    found
}

//! The error messages that the documents quote are those of the program.

use std::path::Path;

/// What stands in a text where the program puts a value.
const VALUE: char = '\0';

/// Reads the string literals of Rust's source, with values for what is filled in.
fn literals(source: &str) -> Vec<String> {
    let (mut found, mut characters) = (Vec::new(), source.chars().peekable());
    while let Some(c) = characters.next() {
        match c {
            // A character, which may be a quote; or a lifetime.
            '\'' if characters.peek() == Some(&'"') => _ = characters.next(),
            '/' if characters.peek() == Some(&'/') => _ = characters.by_ref().find(|c| *c == '\n'),
            '"' => found.push(literal(&mut characters)),
            _ => {}
        }
    }
    found
}

/// Reads what is left of a literal.
fn literal(characters: &mut std::iter::Peekable<std::str::Chars>) -> String {
    let mut text = String::new();
    while let Some(c) = characters.next() {
        match c {
            '"' => break,
            '\\' => match characters.next() {
                Some('\n') => while characters.next_if(|c| c.is_whitespace()).is_some() {},
                escaped => text.extend(escaped),
            },
            '{' if characters.next_if_eq(&'{').is_none() => {
                characters.by_ref().find(|c| *c == '}');
                text.push(VALUE);
            }
            c => text.push(c),
        }
    }
    text
}

/// Tells whether the program could say this with a literal, whatever its values.
fn could_be(quote: &str, literal: &str) -> bool {
    let parts: Vec<&str> = literal.split(VALUE).collect();
    // A literal that is hardly more than values could be anything.
    if parts.iter().map(|part| part.trim().len()).sum::<usize>() < 8 {
        return false;
    }
    let (first, rest) = parts.split_first().unwrap();
    let Some(mut left) = quote.strip_prefix(first) else {
        return rest.is_empty() && literal.contains(quote);
    };
    for (index, part) in rest.iter().enumerate() {
        let is_last = index + 1 == rest.len();
        let at = if is_last && part.is_empty() { Some(left.len()) } else { left.find(part) };
        let Some(at) = at else { return false };
        left = &left[at + part.len()..];
    }
    left.is_empty() || rest.is_empty() && literal.contains(quote)
}

fn files(dir: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
            continue;
        }
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        if path.extension().is_some_and(|extension| extension == "rs") {
            found.extend(literals(&text));
        } else {
            found.extend(text.lines().map(str::to_owned));
        }
    }
}

/// The messages of the first column of the tables, and how they are quoted there.
fn quotes(document: &str) -> Vec<String> {
    let cells = document.lines().filter_map(|line| line.strip_prefix("| `")).map(|line| format!("`{line}"));
    cells
        .map(|row| {
            let fence: String = row.chars().take_while(|c| *c == '`').collect();
            row.split(fence.as_str()).nth(1).unwrap().trim().to_owned()
        })
        .collect()
}

#[test]
fn every_message_that_is_quoted_is_one_of_the_program() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut said = Vec::new();
    files(&root.join("src"), &mut said);
    files(&root.join("nixos/scripts"), &mut said);
    let document = std::fs::read_to_string(root.join("docs/troubleshooting.md")).unwrap();
    let quotes = quotes(&document);
    assert!(quotes.len() > 25, "{quotes:?}");
    let unsaid = |quote: &&String| !said.iter().any(|literal| could_be(quote, literal));
    assert_eq!(quotes.iter().filter(unsaid).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn what_nothing_says_is_found() {
    let said = literals(
        r#"#[error("`{name}` was not ready within {} s: {last}{}")] // "a comment"
        let x = '"'; "{{}} the connection \
            was lost""#,
    );
    assert_eq!(said.len(), 2, "{said:?}");
    let some = |quote: &str| said.iter().any(|literal| could_be(quote, literal));
    assert!(some("`web` was not ready within 300 s: ...") && some("the connection was lost"));
    assert!(!some("`web` was not ready in 300 s: ...") && !some("the connection was cut"));
    assert!(!could_be("anything", "\0: \0"));
}

//! Makes text that a guest can influence harmless for a terminal.

/// Returns the text on one line with everything taken out that a terminal would act on.
pub fn one_line(text: &str) -> String {
    lines(text).replace(['\n', '\t'], " ").trim().to_owned()
}

/// Returns one line with its colours kept, ended where it ends, and everything else taken out that a terminal would
/// act on.
pub fn coloured_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut coloured = false;
    while let Some(at) = rest.find("\u{1b}[") {
        let (before, sequence) = rest.split_at(at);
        out.push_str(&one_line_untrimmed(before));
        // Select Graphic Rendition (ECMA-48): numbers, separators, `m`.
        let body = sequence.get(2..).unwrap_or_default();
        let end = body.find(|c: char| !(c.is_ascii_digit() || c == ';' || c == ':')).unwrap_or(body.len());
        let is_colour = body.get(end..).is_some_and(|tail| tail.starts_with('m'));
        let length = 2 + end + usize::from(is_colour);
        if is_colour {
            out.push_str(sequence.get(..length).unwrap_or_default());
            coloured = true;
            rest = sequence.get(length..).unwrap_or_default();
        } else {
            // Some other sequence: taken out together with what belongs to it.
            let next = body.find("\u{1b}[").map_or(sequence.len(), |at| at + 2);
            out.push_str(&one_line_untrimmed(sequence.get(..next).unwrap_or_default()));
            rest = sequence.get(next..).unwrap_or_default();
        }
    }
    out.push_str(&one_line_untrimmed(rest));
    if coloured {
        out.push_str("\u{1b}[0m");
    }
    out
}

pub(super) fn one_line_untrimmed(text: &str) -> String {
    lines(text).replace('\n', " ")
}

/// Returns the text with its lines kept, and everything else taken out that a terminal would act on.
///
/// Escape sequences are removed whole where they can be recognised, so that no stray `[31m` stays behind.
pub fn lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' => skip_sequence(&mut rest),
            '\n' | '\t' => out.push(c),
            c if is_harmless(c) => out.push(c),
            _ => {}
        }
    }
    out
}

/// Escapes, in JSON, what acts on a terminal beyond what JSON escapes itself. It means the same as before.
pub fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push(c),
            c if is_harmless(c) => out.push(c),
            c => out.push_str(&format!("\\u{:04x}", u32::from(c))),
        }
    }
    out
}

/// Skips what follows an ESC: a control sequence up to its final byte, a string up to its terminator, or one
/// character (ECMA-48).
fn skip_sequence(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    /// A guest that opens a string and never closes it must not swallow what others say after it.
    const LONGEST: usize = 256;
    match rest.next_if(|c| *c != '\n') {
        Some('[') => {
            for _ in 0..LONGEST {
                if rest.next_if(|c| *c != '\n').is_none_or(|c| ('\u{40}'..='\u{7e}').contains(&c)) {
                    return;
                }
            }
        }
        Some(']' | 'P' | '_' | '^' | 'X') => {
            for _ in 0..LONGEST {
                match rest.next_if(|c| *c != '\n') {
                    Some('\u{1b}') => {
                        rest.next_if_eq(&'\\');
                        return;
                    }
                    None | Some('\u{7}') => return,
                    Some(_) => {}
                }
            }
        }
        // A character-set choice takes one more character.
        Some('(' | ')' | '#' | '%') => {
            rest.next_if(|c| *c != '\n');
        }
        _ => {}
    }
}

/// Tells whether a character only prints: no control, no change of writing direction, nothing invisible.
const fn is_harmless(c: char) -> bool {
    !matches!(c,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sequences_go_and_words_stay() {
        for (text, kept) in [
            ("plain \u{e4}\u{1f600}", "plain \u{e4}\u{1f600}"),
            ("\u{1b}[1;31mred\u{1b}[0m", "red"),
            ("a\u{1b}]52;c;c2VjcmV0\u{7}b", "ab"),
            ("a\u{1b}]0;title\u{1b}\\b", "ab"),
            ("a\u{1b}P1;2|dcs\u{1b}\\b", "ab"),
            ("a\u{1b}]never closed\nnext line", "a\nnext line"),
            ("\u{9b}31mx\r\u{8}", "31mx"),
            ("\u{202e}evil", "evil"),
            ("x\u{1b}(By", "xy"),
        ] {
            assert_eq!(lines(text), kept, "{text:?}");
        }
        assert_eq!(one_line(" a\nb\u{1b}[?2004hc "), "a bc");
    }

    #[test]
    fn colours_stay_on_their_line() {
        for (text, kept) in [
            ("\u{1b}[1;31mred\u{1b}[0m x", "\u{1b}[1;31mred\u{1b}[0m x\u{1b}[0m"),
            ("a\u{1b}[2Jb\u{1b}[32mc", "ab\u{1b}[32mc\u{1b}[0m"),
            ("a\u{1b}]52;c;eA==\u{7}b\r", "ab"),
            ("a\u{1b}[?25l\u{1b}[6n", "a"),
            ("  \u{1b}Pq\u{1b}[31m\u{1b}\\", "  \u{1b}[31m\u{1b}[0m"),
        ] {
            assert_eq!(coloured_line(text), kept, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn json_means_the_same_and_does_not_act(text in "(\\PC|\u{9b}|\u{7f}|\u{202e}|\u{feff}|\n|\u{1b}){0,20}") {
            let shown = json(&serde_json::to_string_pretty(&[&text]).unwrap());
            prop_assert!(shown.chars().all(|c| c == '\n' || is_harmless(c)), "{shown:?}");
            prop_assert_eq!(serde_json::from_str::<Vec<String>>(&shown).unwrap(), vec![text]);
        }

        #[test]
        fn only_colours_survive(text in "(\\PC|\u{1b}|\\[|[0-9;]|m|\u{9b}|\r|\u{7}){0,60}") {
            let shown = coloured_line(&text);
            for (at, _) in shown.match_indices('\u{1b}') {
                let body = &shown[at + 1..];
                prop_assert!(body.starts_with('['), "{shown:?}");
                let end = body[1..].find(|c: char| !"0123456789;:".contains(c)).map(|end| &body[1 + end..]);
                prop_assert!(end.is_some_and(|end| end.starts_with('m')), "{shown:?}");
            }
            let acts = |c: char| c.is_control() && c != '\u{1b}' && c != '\t';
            prop_assert!(!shown.chars().any(acts));
        }

        #[test]
        fn nothing_that_acts_survives(text in any::<String>()) {
            let acts = |c: char| c.is_control() && c != '\n' && c != '\t';
            prop_assert!(!lines(&text).chars().any(acts));
            prop_assert!(!one_line(&text).chars().any(char::is_control));
        }
    }
}

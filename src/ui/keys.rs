//! What a terminal sends for the keys that are pressed, taken apart. Pure.

/// A key, as far as menus know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A character that prints.
    Char(char),
    /// Return.
    Enter,
    /// The tabulator.
    Tab,
    /// Escape.
    Esc,
    /// Ctrl-C.
    Interrupt,
    /// Removes the character before the cursor.
    Backspace,
    /// Removes the one at the cursor.
    Delete,
    /// Removes the word before the cursor: Ctrl-W.
    DropWord,
    /// Removes everything before the cursor: Ctrl-U.
    DropLine,
    /// A step to the left.
    Left,
    /// A step to the right.
    Right,
    /// To the beginning, also Ctrl-A.
    Home,
    /// To the end, also Ctrl-E.
    End,
    /// A line up, also Ctrl-P.
    Up,
    /// A line down, also Ctrl-N.
    Down,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// Any other, which does nothing.
    Other,
}

/// Returns the first key of what a terminal has sent, and how many bytes it took; `None` where more of it has to come.
/// `is_all` says that nothing more comes: then an ESC by itself is the key of that name.
pub fn first(sent: &[u8], is_all: bool) -> Option<(Key, usize)> {
    match *sent {
        [] => None,
        [0x1b] if !is_all => None,
        // Escape twice is that key twice; behind a single one comes a sequence, or a key pressed with Alt.
        [0x1b] | [0x1b, 0x1b, ..] => Some((Key::Esc, 1)),
        [0x1b, b'[', ref rest @ ..] => after(2, control_sequence(rest), is_all),
        [0x1b, b'O', ref rest @ ..] => after(2, rest.first().map(|last| (of_keypad(*last), 1)), is_all),
        [0x1b, ref rest @ ..] => first(rest, is_all).map(|(_, bytes)| (Key::Other, 1 + bytes)),
        [byte, ..] if byte.is_ascii() => Some((of_byte(byte), 1)),
        [byte, ..] => character(sent, byte, is_all),
    }
}

/// Adds the length of how a sequence begins. One that is cut off is no key.
fn after(begin: usize, found: Option<(Key, usize)>, is_all: bool) -> Option<(Key, usize)> {
    match found {
        Some((key, bytes)) => Some((key, begin + bytes)),
        None => is_all.then_some((Key::Other, begin)),
    }
}

/// Reads what comes behind `ESC [`: parameters up to a final byte (ECMA-48).
fn control_sequence(rest: &[u8]) -> Option<(Key, usize)> {
    // The console of Linux has `ESC [ [ A` for F1.
    if let [b'[', ..] = rest {
        return rest.get(1).map(|_| (Key::Other, 2));
    }
    let end = rest.iter().position(|byte| !(0x20..=0x3f).contains(byte))?;
    let parameters = rest.get(..end)?;
    let key = match (*rest.get(end)?, parameters) {
        (b'~', b"1" | b"7") => Key::Home,
        (b'~', b"4" | b"8") => Key::End,
        (b'~', b"3") => Key::Delete,
        (b'~', b"5") => Key::PageUp,
        (b'~', b"6") => Key::PageDown,
        (letter, _) => of_letter(letter).unwrap_or(Key::Other),
    };
    Some((key, end + 1))
}

const fn of_letter(letter: u8) -> Option<Key> {
    Some(match letter {
        b'A' => Key::Up,
        b'B' => Key::Down,
        b'C' => Key::Right,
        b'D' => Key::Left,
        b'H' => Key::Home,
        b'F' => Key::End,
        _ => return None,
    })
}

/// Reads what comes behind `ESC O`.
fn of_keypad(letter: u8) -> Key {
    match letter {
        b'M' => Key::Enter,
        letter => of_letter(letter).unwrap_or(Key::Other),
    }
}

fn of_byte(byte: u8) -> Key {
    match byte {
        b'\r' | b'\n' => Key::Enter,
        b'\t' => Key::Tab,
        0x03 => Key::Interrupt,
        0x08 | 0x7f => Key::Backspace,
        0x01 => Key::Home,
        0x05 => Key::End,
        0x02 => Key::Left,
        0x06 => Key::Right,
        0x10 => Key::Up,
        0x0e => Key::Down,
        0x15 => Key::DropLine,
        0x17 => Key::DropWord,
        b' '..=b'~' => Key::Char(char::from(byte)),
        _ => Key::Other,
    }
}

/// Reads a character of several bytes (UTF-8).
fn character(sent: &[u8], byte: u8, is_all: bool) -> Option<(Key, usize)> {
    let length = match byte {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return Some((Key::Other, 1)),
    };
    let Some(bytes) = sent.get(..length) else {
        return is_all.then_some((Key::Other, sent.len()));
    };
    let c = std::str::from_utf8(bytes).ok().and_then(|text| text.chars().next());
    Some(c.map_or((Key::Other, 1), |c| (Key::Char(c), length)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(mut sent: &[u8]) -> Vec<Key> {
        let mut keys = Vec::new();
        while let Some((key, bytes)) = first(sent, true) {
            keys.push(key);
            sent = &sent[bytes..];
        }
        keys
    }

    #[test]
    fn keys_as_terminals_send_them() {
        for (sent, keys) in [
            (&b"a\r"[..], vec![Key::Char('a'), Key::Enter]),
            (b"\x1b[A\x1bOB\x1b[1;5C\x1b[D", vec![Key::Up, Key::Down, Key::Right, Key::Left]),
            (b"\x1b[H\x1b[F\x1b[1~\x1b[4~", vec![Key::Home, Key::End, Key::Home, Key::End]),
            (b"\x1b[3~\x1b[5~\x1b[6~", vec![Key::Delete, Key::PageUp, Key::PageDown]),
            (b"\x1b", vec![Key::Esc]),
            (b"\x1b\x1b", vec![Key::Esc, Key::Esc]),
            (b"\x1bq", vec![Key::Other]),
            (b"\x1b[[A", vec![Key::Other]),
            (b"\x1b[15~x", vec![Key::Other, Key::Char('x')]),
            ("ä\u{1f600}".as_bytes(), vec![Key::Char('ä'), Key::Char('\u{1f600}')]),
            (b"\xff\x03", vec![Key::Other, Key::Interrupt]),
        ] {
            assert_eq!(all(sent), keys, "{sent:?}");
        }
    }

    #[test]
    fn what_is_cut_off_is_waited_for() {
        for sent in [&b"\x1b"[..], b"\x1b[", b"\x1b[1;", b"\x1bO", b"\xc3", b"\xf0\x9f"] {
            assert_eq!(first(sent, false), None, "{sent:?}");
            assert!(first(sent, true).is_some(), "{sent:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_come_to_an_end(sent in proptest::collection::vec(any::<u8>(), 1..40)) {
            let (mut rest, mut steps) = (sent.as_slice(), 0);
            while let Some((_, bytes)) = first(rest, true) {
                prop_assert!(bytes > 0 && bytes <= rest.len());
                rest = &rest[bytes..];
                steps += 1;
            }
            prop_assert!(rest.is_empty() && steps <= sent.len());
        }
    }
}

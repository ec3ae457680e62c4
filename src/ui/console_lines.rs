//! What a guest's console says, made harmless while it is said.

use super::filter;

/// The longest line that is waited for, in bytes. A longer one is shown in parts.
const LONGEST: usize = 16 * 1024;

/// Cuts bytes into lines, so that no sequence is torn before it is filtered.
#[derive(Debug, Default)]
pub struct ConsoleLines {
    begun: Vec<u8>,
}

impl ConsoleLines {
    /// Takes what was said further, and returns what can be shown: whole lines, or everything at the end.
    pub fn take(&mut self, said: &[u8], is_end: bool) -> String {
        self.begun.extend_from_slice(said);
        let whole = match self.begun.iter().rposition(|byte| *byte == b'\n') {
            _ if is_end => self.begun.len(),
            Some(at) => at + 1,
            None if self.begun.len() >= LONGEST => self.begun.len(),
            None => 0,
        };
        let shown: Vec<u8> = self.begun.drain(..whole).collect();
        filter::lines(&String::from_utf8_lossy(&shown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_not_torn() {
        let mut lines = ConsoleLines::default();
        assert_eq!(lines.take(b"a\r\nb\x1b[3", false), "a\n");
        assert_eq!(lines.take(b"1mc", false), "");
        assert_eq!(lines.take(b"\xc3", false), "");
        assert_eq!(lines.take(b"\xa4\n\x1b]0;x", false), "bc\u{e4}\n");
        assert_eq!(lines.take(b"", true), "");
        assert_eq!(lines.take(&[b'x'; LONGEST], false).len(), LONGEST);
    }
}

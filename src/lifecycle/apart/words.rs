//! What a script in a guest says besides the log: a few words, each on a line of its own, read strictly.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::sync::mpsc;

use crate::lifecycle::apart::End;
use crate::ssh::program::Sink;

/// The longest line that is taken whole, in bytes; no word is as long.
const MAX_LINE: usize = 1024;

/// How many digits the name of a run has.
const LENGTHS: std::ops::RangeInclusive<usize> = 12..=32;

/// Something that is said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// The run with this name is followed from now on.
    Run(String),
    /// It is the one that is under way, and not the one that was asked for.
    Joined(String),
    /// How it ended, as far as it did.
    End(End),
    /// Something that the script does not say.
    Other(String),
}

impl Word {
    /// Reads a line. Whatever is not exactly what the script says is nothing that it says.
    fn read(line: &[u8]) -> Self {
        let text = String::from_utf8_lossy(line);
        let word = text.strip_prefix("ai-vm: ").and_then(|said| match said.split_once(' ') {
            Some(("run", run)) => name_of_run(run).map(Self::Run),
            Some(("joined", run)) => name_of_run(run).map(Self::Joined),
            Some(("exit", code)) => exit_code(code).map(|code| Self::End(End::Exited(code))),
            Some(("under", "way")) => Some(Self::End(End::UnderWay)),
            _ => None,
        });
        word.unwrap_or_else(|| Self::Other(text.into_owned()))
    }
}

fn name_of_run(text: &str) -> Option<String> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (LENGTHS.contains(&text.len()) && text.bytes().all(is_digit)).then(|| text.to_owned())
}

fn exit_code(text: &str) -> Option<u8> {
    // Not what `parse` takes besides: a sign, zeros before the number.
    text.parse().ok().filter(|code: &u8| code.to_string() == text)
}

/// Takes lines apart that the script and others have to say.
pub(super) struct Words {
    line: BytesMut,
    to: mpsc::UnboundedSender<Word>,
}

impl Sink for Words {
    async fn write(&mut self, chunk: Bytes) -> bool {
        let mut rest = chunk;
        while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
            let end = rest.split_to(at);
            rest.advance(1);
            self.take(&end);
            // Nobody hears it who is not there any more.
            let _ = self.to.send(Word::read(&self.line.split()));
        }
        self.take(&rest);
        true
    }

    async fn finish(self) -> io::Result<()> {
        if !self.line.is_empty() {
            let _ = self.to.send(Word::read(&self.line));
        }
        Ok(())
    }
}

impl Words {
    /// Passes them on.
    pub(super) fn to(to: mpsc::UnboundedSender<Word>) -> Self {
        Self { line: BytesMut::new(), to }
    }

    fn take(&mut self, part: &[u8]) {
        let room = MAX_LINE.saturating_sub(self.line.len());
        self.line.extend_from_slice(part.get(..room).unwrap_or(part));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RUN: &str = "0123456789abcdef0123456789abcdef";

    fn heard(chunks: &[&[u8]]) -> Vec<Word> {
        let (to, mut words) = mpsc::unbounded_channel();
        let mut sink = Words::to(to);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            for chunk in chunks {
                sink.write(Bytes::copy_from_slice(chunk)).await;
            }
            sink.finish().await.unwrap();
            let mut heard = Vec::new();
            while let Ok(word) = words.try_recv() {
                heard.push(word);
            }
            heard
        })
    }

    #[test]
    fn words_however_they_come() {
        let run = format!("ai-vm: joined {RUN}\nai-vm: run {RUN}\nsudo: x\nai-vm: ex");
        assert_eq!(
            heard(&[run.as_bytes(), b"it 25", b"5\nai-vm: under way"]),
            [
                Word::Joined(RUN.to_owned()),
                Word::Run(RUN.to_owned()),
                Word::Other("sudo: x".to_owned()),
                Word::End(End::Exited(255)),
                Word::End(End::UnderWay),
            ]
        );
        let long = [b'x'; 3 * MAX_LINE];
        assert_eq!(heard(&[&long, &long, b"\n"]), [Word::Other("x".repeat(MAX_LINE))]);
    }

    #[test]
    fn nothing_that_is_almost_a_word_is_one() {
        for line in [
            "ai-vm: exit 256",
            "ai-vm: exit -1",
            "ai-vm: exit +1",
            "ai-vm: exit 01",
            "ai-vm: exit 0 ",
            "ai-vm: exit",
            "ai-vm: exit \u{661}",
            "ai-vm:exit 0",
            " ai-vm: exit 0",
            "ai-vm: run 0123456789a",
            "ai-vm: run 0123456789abcdef0123456789abcdef0",
            "ai-vm: run ../../../../../../../../etc/passwd",
            "ai-vm: run 0123456789ABCDEF0123456789ABCDEF",
        ] {
            assert_eq!(Word::read(line.as_bytes()), Word::Other(line.to_owned()));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_heard(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..200) {
            let (one, two) = bytes.split_at(at.min(bytes.len()));
            prop_assert_eq!(heard(&[one, two]), heard(&[&bytes]));
        }
    }
}

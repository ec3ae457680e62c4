//! Random argument vectors: what people type, what shells give a meaning to, and bytes that are no text at all.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::time::{SystemTime, UNIX_EPOCH};

/// What some shell reads in its own way, whole.
const WORDS: [&[u8]; 46] = [
    b"",
    b" ",
    b"-",
    b"--",
    b"-n",
    b"-e",
    b"--help",
    b"!!",
    b"!$",
    b"^a^b",
    b"~",
    b"~root",
    b"*",
    b"?",
    b"[a-z]",
    b"{a,b}",
    b"%self",
    b"=ls",
    b"#",
    b"\\",
    b"\\n",
    b"a\\",
    b"'",
    b"\"",
    b"`id`",
    b"$(id)",
    b"$HOME",
    b"${IFS}",
    b"$'\\x41'",
    b"$0",
    b"$AI_VM_SCRIPT",
    b"<(id)",
    b"1>&2",
    b"a;b",
    b"a&&b",
    b"(exit 9)",
    b"a\nb",
    b"\n",
    b"\r\n",
    b"\t",
    b"\x1b[31m",
    b"\x81\x82\x88",
    b"\xff\xfe",
    b"\xc3",
    b"\xed\xa0\x80",
    b"EOF",
];

/// Characters of which shells are made.
const META: &[u8] = b"'\"\\$`!*?[]{}()<>|&;#~^=%,:- \t\n\r@+/._x0";

/// What no shell gives a meaning to.
const PLAIN: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCXYZ0123456789_-./:=@%+,";

/// A source of vectors that is the same for the same seed.
pub struct Vectors {
    state: u64,
}

impl Vectors {
    /// Begins with the seed that the variable `AI_VM_SEED` holds, or with another one each time; returns it too.
    pub fn new() -> (Self, u64) {
        let given = std::env::var("AI_VM_SEED").ok().map(|seed| seed.parse().unwrap());
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
        let seed = given.unwrap_or_else(now);
        (Self { state: seed | 1 }, seed)
    }

    /// A vector of up to eight arguments of every kind.
    pub fn wild(&mut self) -> Vec<OsString> {
        (0..self.below(9)).map(|_| OsString::from_vec(self.argument())).collect()
    }

    /// One without anything that would have to be quoted.
    pub fn plain(&mut self) -> Vec<OsString> {
        (0..self.below(9))
            .map(|_| {
                let length = 1 + self.below(20);
                OsString::from_vec(self.some(length, PLAIN))
            })
            .collect()
    }

    /// One argument of some ten thousand bytes.
    pub fn long(&mut self) -> OsString {
        let length = 10_000 + self.below(20_000);
        OsString::from_vec(self.bytes(length))
    }

    fn argument(&mut self) -> Vec<u8> {
        let length = match self.below(20) {
            0..14 => self.below(12),
            14..19 => self.below(120),
            _ => self.below(2000),
        };
        match self.below(6) {
            0 => WORDS[self.below(WORDS.len())].to_vec(),
            1 => self.bytes(length),
            2 => self.some(length, META),
            3 => self.some(length, PLAIN),
            4 => self.text(length),
            _ => (0..1 + length / 4).flat_map(|_| WORDS[self.below(WORDS.len())].to_vec()).collect(),
        }
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| 1 + self.below(255) as u8).collect()
    }

    fn some(&mut self, length: usize, of: &[u8]) -> Vec<u8> {
        (0..length).map(|_| of[self.below(of.len())]).collect()
    }

    /// Characters of all planes, half of them from where fish keeps what it takes for its own.
    fn text(&mut self, length: usize) -> Vec<u8> {
        let mut text = String::new();
        for _ in 0..length {
            let point = match self.below(4) {
                0 => 0xf600 + self.below(0x100),
                1 => 0xfdd0 + self.below(0x20),
                2 => 1 + self.below(0x2fff),
                _ => 1 + self.below(0x10_ffff),
            };
            text.extend(char::from_u32(point as u32));
        }
        text.into_bytes()
    }

    /// A number below another (xorshift64*).
    fn below(&mut self, end: usize) -> usize {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        (self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
    }
}

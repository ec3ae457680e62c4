//! What is on the other side when logins are exchanged: a guest, or in tests something that behaves like many.

use sha2::{Digest, Sha256};

use crate::claude::account::Account;
use crate::claude::login::error::LoginError;

/// What is in the place of a login's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nothing.
    Empty,
    /// A file, as far as it has been read: one byte more than a login may have at most.
    File(Vec<u8>),
    /// Something else, in words.
    Other(&'static str),
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// In the place of the login.
    pub login: Place,
    /// Whose it is said to be.
    pub account: Account,
    /// The content of the file with a token, if there is one.
    pub token: Option<Vec<u8>>,
}

impl Place {
    /// Returns by what the content is known again, as the script there computes it.
    pub fn sum(&self) -> String {
        match self {
            Self::Empty | Self::Other(_) => "none".to_owned(),
            Self::File(content) => sum(content),
        }
    }
}

/// Returns the SHA-256 of a content as hexadecimal digits.
pub fn sum(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Which file is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Claude Code's own, with the login.
    Login,
    /// ai-vm's, with a token.
    Token,
}

/// What came of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is there, whole.
    Done,
    /// Something else was there than expected, and still is.
    Changed,
}

/// Something that has a login.
pub trait Peer: Send {
    /// Looks at what it has.
    fn read(&mut self) -> impl Future<Output = Result<Seen, LoginError>> + Send;

    /// Replaces a file as a whole, if what is there is still what was expected: its [`Place::sum`].
    fn write(
        &mut self,
        which: Which,
        expected: &str,
        content: &[u8],
    ) -> impl Future<Output = Result<Written, LoginError>> + Send;

    /// Removes the token, and with `login` the login too.
    fn wipe(&mut self, login: bool) -> impl Future<Output = Result<(), LoginError>> + Send;
}

/// Whoever else has a copy of the login.
pub trait Others: Send {
    /// Fetches what they have now, as far as they answer, and keeps the newest of it.
    fn fetch(&mut self) -> impl Future<Output = ()> + Send;
}

//! Tokens that do not change: what they look like, and where they come from. Never from an argument, which others see.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::claude::credentials;
use crate::diagnostic::{Diagnostic, Kind};
use crate::host::files::{self, FileError};

/// The largest input that is read for a token, in bytes.
const MAX_INPUT: u64 = 16 * 1024;

/// How long a token may be, in bytes.
const LENGTH: std::ops::RangeInclusive<usize> = 20..=4096;

/// What such a secret begins with: of `claude setup-token`, and API keys.
const OAUTH: &str = "sk-ant-oat";
const API: &str = "sk-ant-api";

/// What sort of token it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// Of `claude setup-token`, good for a year.
    Setup,
    /// An API key.
    ApiKey,
}

impl fmt::Display for TokenKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Setup => "setup token",
            Self::ApiKey => "API key",
        })
    }
}

/// A token.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    secret: String,
    kind: TokenKind,
}

/// What is secret of it does not reach a log by accident.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({} {})", self.kind, self.fingerprint())
    }
}

/// Where a token comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Standard input.
    Stdin,
    /// A file.
    File(PathBuf),
    /// A variable of the environment.
    Variable(String),
}

/// Why something is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It was typed as an argument.
    #[error("a token is not to be typed as an argument: others see it in the list of processes")]
    Typed,
    /// The variable is not set.
    #[error("the variable `{name}` is not set")]
    NotSet {
        /// The variable.
        name: String,
    },
    /// It does not look like one.
    #[error("what was given is no token: {reason}")]
    Form {
        /// Why; without anything of it.
        reason: &'static str,
    },
    /// Standard input could not be read.
    #[error("cannot read the token from stdin")]
    Stdin(#[source] io::Error),
    /// The file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Diagnostic for TokenError {
    fn kind(&self) -> Kind {
        match self {
            Self::Typed | Self::NotSet { .. } | Self::Form { .. } => Kind::Usage,
            Self::Stdin(_) | Self::File(_) => Kind::Failed,
        }
    }

    fn hints(&self) -> Vec<String> {
        let stdin = "give it on stdin: `ai-vm creds set NAME --token - < FILE`".to_owned();
        match self {
            Self::Typed => vec![stdin, "it may be in your shell's history by now: revoke it".to_owned()],
            Self::NotSet { .. } => vec![stdin],
            Self::Form { .. } => {
                vec!["`claude setup-token` prints one that begins with `sk-ant-oat`; an API key begins with `sk-ant-api`".to_owned()]
            }
            Self::Stdin(_) => Vec::new(),
            Self::File(error) if error.source.kind() == io::ErrorKind::NotFound => {
                vec!["`claude setup-token` prints a token".to_owned(), stdin]
            }
            Self::File(error) => error.hints(),
        }
    }
}

impl Source {
    /// Reads what stands for a source on the command line: `-` or the path of a file.
    pub fn named(text: &str) -> Result<Self, TokenError> {
        match text {
            "-" => Ok(Self::Stdin),
            text if text.starts_with("sk-ant-") => Err(TokenError::Typed),
            path => Ok(Self::File(PathBuf::from(path))),
        }
    }

    /// Reads the token.
    pub fn read(&self) -> Result<Token, TokenError> {
        let text = match self {
            Self::Stdin => {
                let mut text = Vec::new();
                io::stdin().take(MAX_INPUT).read_to_end(&mut text).map_err(TokenError::Stdin)?;
                text
            }
            Self::File(path) => files::read_bounded(path, MAX_INPUT)?,
            Self::Variable(name) => match std::env::var_os(name) {
                Some(value) => value.into_encoded_bytes(),
                None => return Err(TokenError::NotSet { name: name.escape_debug().to_string() }),
            },
        };
        Token::parse(&text)
    }
}

impl Token {
    /// Reads a token; blanks and line ends around it do not belong to it.
    pub fn parse(text: &[u8]) -> Result<Self, TokenError> {
        let text = text.trim_ascii();
        let form = |reason| Err(TokenError::Form { reason });
        let secret = match std::str::from_utf8(text) {
            Ok("") => return form("it is empty"),
            Ok(secret) if secret.bytes().all(|byte| byte.is_ascii_graphic()) => secret,
            _ => return form("it is not one word of plain characters"),
        };
        let kind = match secret {
            _ if !LENGTH.contains(&secret.len()) => return form("it has not the length of one"),
            _ if secret.starts_with(OAUTH) => TokenKind::Setup,
            _ if secret.starts_with(API) => TokenKind::ApiKey,
            _ => return form("it begins with neither `sk-ant-oat` nor `sk-ant-api`"),
        };
        Ok(Self { secret: secret.to_owned(), kind })
    }

    /// Reads a token from where it is kept; `None` where there is none.
    pub fn kept(path: &Path) -> Result<Option<Self>, TokenError> {
        match files::read_bounded(path, MAX_INPUT) {
            Ok(text) => Self::parse(&text).map(Some),
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns it as a file has it: a line.
    pub fn line(&self) -> Vec<u8> {
        format!("{}\n", self.secret).into_bytes()
    }

    /// Returns what sort of token it is.
    pub fn kind(&self) -> TokenKind {
        self.kind
    }

    /// Returns by what it is told from others without telling anything of it.
    pub fn fingerprint(&self) -> String {
        credentials::fingerprint(&self.secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens() {
        let setup = Token::parse(b"  sk-ant-oat01-CANARYCANARY \n").unwrap();
        assert_eq!((setup.kind(), setup.line()), (TokenKind::Setup, b"sk-ant-oat01-CANARYCANARY\n".to_vec()));
        assert_eq!(Token::parse(b"sk-ant-api03-CANARYCANARY").unwrap().kind(), TokenKind::ApiKey);
        assert!(!format!("{setup:?}").contains("CANARY"));
        let long = format!("sk-ant-oat{}", "x".repeat(5000));
        for bad in [
            "",
            "\n",
            "sk-ant-oat",
            "sk-ant-ort01-CANARYCANARY",
            "CANARYCANARYCANARYCANARY",
            "sk-ant-oat01-CANARY CANARYCANARY",
            "sk-ant-oat01-CANARY\nCANARYCANARY",
            "sk-ant-oat01-CANARY\u{e4}CANARYCANARY",
            "sk-ant-oat01-CANARY\u{0}CANARYCANARY",
            &long,
        ] {
            let error = Token::parse(bad.as_bytes()).unwrap_err();
            assert!(!error.to_string().contains("CANARY"), "{error}");
        }
    }

    #[test]
    fn never_from_an_argument() {
        assert_eq!(Source::named("-").unwrap(), Source::Stdin);
        assert_eq!(Source::named("/t").unwrap(), Source::File("/t".into()));
        assert!(matches!(Source::named("sk-ant-oat01-x"), Err(TokenError::Typed)));
    }
}

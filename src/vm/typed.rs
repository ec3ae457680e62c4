//! Values in files that people write, read by the parsers of the command line; mistakes with their line. Pure.

use std::fmt::Display;
use std::str::FromStr;

use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong, on one line.
    pub reason: String,
}

/// Reads a whole file.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, Mistake> {
    toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        Mistake { line, reason: error.message().split_whitespace().collect::<Vec<_>>().join(" ") }
    })
}

/// What is written in the place of a value.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a string or a whole number")]
enum Typed {
    Number(u64),
    Text(String),
}

impl Typed {
    fn parse<T: FromStr<Err: Display>, E: Error>(self) -> Result<T, E> {
        let text = match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text,
        };
        text.parse().map_err(E::custom)
    }
}

/// Reads a value, from a string or a whole number.
pub fn value<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    Typed::deserialize(deserializer)?.parse().map(Some)
}

/// Reads a list of such values.
pub fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    Vec::<Typed>::deserialize(deserializer)?.into_iter().map(Typed::parse).collect()
}

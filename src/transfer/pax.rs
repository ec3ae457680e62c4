//! Extended headers of a tar stream, as POSIX has them: records of `LENGTH KEY=VALUE`, of which the length alone says
//! where one ends, because a value may hold line ends.

use crate::transfer::entry::Time;
use crate::transfer::error::StreamError;

/// What an extended header says.
#[derive(Default)]
pub(super) struct Extended {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) mtime: Option<Time>,
    pub(super) sparse_name: Option<Vec<u8>>,
    pub(super) real_size: Option<u64>,
    pub(super) version: (Option<u64>, Option<u64>),
}

impl Extended {
    /// Reads the text of a header.
    pub(super) fn parse(text: &[u8]) -> Result<Self, StreamError> {
        let mut extended = Extended::default();
        let number = |bytes: &[u8]| {
            let number = std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<u64>().ok());
            number.ok_or(StreamError::Malformed("an extended header has no number where one belongs"))
        };
        let mut rest = text;
        while !rest.is_empty() {
            let (key, value, after) = record(rest).ok_or(StreamError::Malformed("an extended header"))?;
            rest = after;
            match key {
                b"path" => extended.path = Some(value.to_vec()),
                b"linkpath" => extended.link = Some(value.to_vec()),
                b"size" => extended.size = Some(number(value)?),
                b"mtime" => {
                    let time = Time::parse(value).ok_or(StreamError::Malformed("a time"))?;
                    extended.mtime = Some(time);
                }
                b"GNU.sparse.name" => extended.sparse_name = Some(value.to_vec()),
                b"GNU.sparse.realsize" => extended.real_size = Some(number(value)?),
                b"GNU.sparse.major" => extended.version.0 = Some(number(value)?),
                b"GNU.sparse.minor" => extended.version.1 = Some(number(value)?),
                // Owners, times that are not kept, what others have invented.
                _ => {}
            }
        }
        Ok(extended)
    }
}

/// Splits the first record off: its key, its value, and what comes after it.
fn record(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let digits = text.iter().position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(text.get(..digits)?).ok()?.parse().ok()?;
    let (record, rest) = text.split_at_checked(length)?;
    let record = record.strip_suffix(b"\n")?.get(digits + 1..)?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some((record.get(..equals)?, record.get(equals + 1..)?, rest))
}

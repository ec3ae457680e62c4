//! Values on the command line, with the hints of their errors.

use std::fmt::Write;
use std::str::FromStr;
use std::time::Duration;

use crate::diagnostic::Diagnostic;

/// Parses a value for clap, so that what it prints includes the hints.
pub fn value<T>(text: &str) -> Result<T, String>
where
    T: FromStr,
    T::Err: Diagnostic,
{
    text.parse().map_err(|error: T::Err| {
        let mut message = error.to_string();
        for hint in error.hints() {
            // Writing to a String cannot fail.
            let _ = write!(message, "\n  hint: {hint}");
        }
        message
    })
}

/// Parses a duration: `90`, `90s`, `2m`, `1h 30m`; a bare number means seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    humantime::parse_duration(text).map_err(|_| {
        format!("`{}` is not a duration\n  hint: write `90`, `90s` or `2m`", text.escape_debug())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for bad in ["", "-1", "soon", "5 parsecs"] {
            assert!(duration(bad).is_err(), "{bad:?} was accepted");
        }
    }
}

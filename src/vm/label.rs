//! Labels: `key=value` pairs by which many VMs are named at once.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::diagnostic::{Diagnostic, Kind};

/// The labels of a VM, in key order.
pub type Labels = BTreeMap<String, String>;

/// One `key=value` pair: given to a VM, or asked for by `-l`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Letters, digits, `-`, `_`, `.` and `/`.
    pub key: String,
    /// Any printable text, possibly empty.
    pub value: String,
}

/// A text that is not `key=value`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a label")]
pub struct LabelError {
    given: String,
}

impl Diagnostic for LabelError {
    fn kind(&self) -> Kind {
        Kind::Usage
    }

    fn hints(&self) -> Vec<String> {
        vec!["a label is `key=value`, for example `-l project=web`".to_owned()]
    }
}

impl Label {
    /// Tells whether a VM with these labels is meant.
    pub fn matches(&self, labels: &Labels) -> bool {
        labels.get(&self.key) == Some(&self.value)
    }
}

impl FromStr for Label {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        let bad = || LabelError { given: text.escape_debug().to_string() };
        let (key, value) = text.split_once('=').ok_or_else(bad)?;
        let key_ok = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
        let value_ok = !value.chars().any(char::is_control);
        if key_ok && value_ok && key.len() <= 63 && value.len() <= 255 {
            Ok(Self { key: key.to_owned(), value: value.to_owned() })
        } else {
            Err(bad())
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs() {
        let label: Label = "project=a=b".parse().unwrap();
        assert_eq!((label.key.as_str(), label.value.as_str()), ("project", "a=b"));
        assert!("tier=".parse::<Label>().is_ok());
        for bad in ["", "x", "=v", "a b=c", "k=\n", "k=\u{1b}[2J"] {
            assert!(bad.parse::<Label>().is_err(), "{bad:?} was accepted");
        }
    }
}

//! Sizes as users type them: memory, disk and processors, with their units and limits.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::diagnostic::{Diagnostic, Kind};

/// Why a text is not a size.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// Not a number with a known unit.
    #[error("`{given}` is not a valid {what}")]
    NotASize {
        /// What was given, escaped.
        given: String,
        /// What it was meant to be, for example `memory size`.
        what: &'static str,
        /// Forms that would have been understood.
        examples: &'static str,
    },
    /// A size outside the limits.
    #[error("a {what} of `{given}` is out of range: {range}")]
    OutOfRange {
        /// What was given.
        given: String,
        /// What it was meant to be.
        what: &'static str,
        /// The allowed range, for people.
        range: &'static str,
    },
}

impl Diagnostic for SizeError {
    fn kind(&self) -> Kind {
        Kind::Usage
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NotASize { examples, .. } => vec![format!("write it like {examples}")],
            Self::OutOfRange { .. } => Vec::new(),
        }
    }
}

/// Memory of a guest in MiB, from 128 MiB to 1024 GiB. A bare number means GiB, as in `--ram 8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct MemorySize(u64);

impl MemorySize {
    /// What a VM gets unless something else is asked for: 8 GiB.
    pub const DEFAULT: Self = Self(8 * 1024);

    const WHAT: &'static str = "memory size";
    const RANGE: &'static str = "from 128mb to 1024gb";

    /// Returns the size in MiB.
    pub const fn mib(self) -> u64 {
        self.0
    }

    /// Makes a size from MiB, if it lies within the limits.
    pub fn from_mib(mib: u64) -> Result<Self, SizeError> {
        if (128..=1024 * 1024).contains(&mib) {
            Ok(Self(mib))
        } else {
            Err(SizeError::OutOfRange { given: format!("{mib}mb"), what: Self::WHAT, range: Self::RANGE })
        }
    }
}

impl FromStr for MemorySize {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let mib = parse_mib(text, Self::WHAT, "`8`, `8gb`, `8GiB` or `512mb`")?;
        let in_range = mib.and_then(|mib| Self::from_mib(mib).ok());
        in_range.ok_or_else(|| SizeError::OutOfRange {
            given: text.trim().to_owned(),
            what: Self::WHAT,
            range: Self::RANGE,
        })
    }
}

/// Disk of a guest in GiB, from 1 to 10,000. A bare number means GiB, as in `--storage 50`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct DiskSize(u64);

impl DiskSize {
    /// What a VM gets unless something else is asked for: 50 GiB.
    pub const DEFAULT: Self = Self(50);

    const WHAT: &'static str = "disk size";
    const RANGE: &'static str = "whole gigabytes from 1gb to 10000gb";

    /// Returns the size in GiB.
    pub const fn gib(self) -> u64 {
        self.0
    }

    /// Returns the size in bytes.
    pub const fn bytes(self) -> u64 {
        self.0 * 1024 * 1024 * 1024
    }

    /// Makes a size from GiB, if it lies within the limits.
    pub fn from_gib(gib: u64) -> Result<Self, SizeError> {
        if (1..=10_000).contains(&gib) {
            Ok(Self(gib))
        } else {
            Err(SizeError::OutOfRange { given: format!("{gib}gb"), what: Self::WHAT, range: Self::RANGE })
        }
    }
}

impl FromStr for DiskSize {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let mib = parse_mib(text, Self::WHAT, "`50`, `50gb`, `50GiB` or `1tb`")?;
        let whole = mib.filter(|mib| mib % 1024 == 0).and_then(|mib| Self::from_gib(mib / 1024).ok());
        whole.ok_or_else(|| SizeError::OutOfRange {
            given: text.trim().to_owned(),
            what: Self::WHAT,
            range: Self::RANGE,
        })
    }
}

/// An amount of data that is a bound, from 1 MiB to 10 TiB. A bare number means GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DataSize(u64);

impl DataSize {
    const WHAT: &'static str = "size";
    const RANGE: &'static str = "from 1mb to 10tb";

    /// Returns the size in bytes.
    pub const fn bytes(self) -> u64 {
        self.0 * 1024 * 1024
    }
}

impl FromStr for DataSize {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let mib = parse_mib(text, Self::WHAT, "`4gb`, `500mb` or `1tb`")?;
        mib.filter(|mib| (1..=10 * 1024 * 1024).contains(mib)).map(Self).ok_or_else(|| {
            SizeError::OutOfRange { given: text.trim().to_owned(), what: Self::WHAT, range: Self::RANGE }
        })
    }
}

/// Number of virtual processors, from 1 to 128, written `4` or `4cpu`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct CpuCount(u64);

impl CpuCount {
    /// What a VM gets unless something else is asked for: 2.
    pub const DEFAULT: Self = Self(2);

    const WHAT: &'static str = "number of CPUs";
    const RANGE: &'static str = "from 1 to 128";

    /// Returns the number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Makes a count, if it lies within the limits.
    pub fn new(count: u64) -> Result<Self, SizeError> {
        if (1..=128).contains(&count) {
            Ok(Self(count))
        } else {
            Err(SizeError::OutOfRange { given: count.to_string(), what: Self::WHAT, range: Self::RANGE })
        }
    }
}

impl FromStr for CpuCount {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let not_a_count = || SizeError::NotASize {
            given: text.escape_debug().to_string(),
            what: Self::WHAT,
            examples: "`4` or `4cpu`",
        };
        let (digits, unit) = split_unit(text).ok_or_else(not_a_count)?;
        if !matches!(unit.as_str(), "" | "cpu" | "cpus" | "core" | "cores") {
            return Err(not_a_count());
        }
        let range =
            || SizeError::OutOfRange { given: digits.to_owned(), what: Self::WHAT, range: Self::RANGE };
        Self::new(digits.parse().map_err(|_| range())?)
    }
}

/// Splits `8gb` into its digits and its lower-case unit; `None` unless it is digits and then letters.
fn split_unit(text: &str) -> Option<(&str, String)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    let unit = rest.trim_start();
    let well_formed = !digits.is_empty() && unit.chars().all(|c| c.is_ascii_alphabetic());
    well_formed.then(|| (digits, unit.to_ascii_lowercase()))
}

/// Reads a size in MiB; the inner `None` is a well-formed number that is too large to hold.
fn parse_mib(text: &str, what: &'static str, examples: &'static str) -> Result<Option<u64>, SizeError> {
    let not_a_size = || SizeError::NotASize { given: text.escape_debug().to_string(), what, examples };
    let (digits, unit) = split_unit(text).ok_or_else(not_a_size)?;
    let factor = match unit.as_str() {
        "m" | "mb" | "mib" => 1,
        "" | "g" | "gb" | "gib" => 1024,
        "t" | "tb" | "tib" => 1024 * 1024,
        _ => return Err(not_a_size()),
    };
    Ok(digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)))
}

impl fmt::Display for MemorySize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(1024) {
            f.pad(&format!("{}gb", self.0 / 1024))
        } else {
            f.pad(&format!("{}mb", self.0))
        }
    }
}

impl fmt::Display for DiskSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}gb", self.0))
    }
}

impl fmt::Display for CpuCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.to_string())
    }
}

/// Serde goes through the checked constructors, so that a record edited by hand cannot smuggle a size in.
macro_rules! checked_number {
    ($type:ty, $new:path) => {
        impl TryFrom<u64> for $type {
            type Error = SizeError;

            fn try_from(number: u64) -> Result<Self, SizeError> {
                $new(number)
            }
        }

        impl From<$type> for u64 {
            fn from(size: $type) -> Self {
                size.0
            }
        }
    };
}

checked_number!(MemorySize, MemorySize::from_mib);
checked_number!(DiskSize, DiskSize::from_gib);
checked_number!(CpuCount, CpuCount::new);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn memory_in_every_spelling() {
        for (text, mib) in [
            ("8", 8192),
            ("8gb", 8192),
            ("8GiB", 8192),
            ("8 GB", 8192),
            ("512mb", 512),
            ("512M", 512),
            ("1t", 1024 * 1024),
            ("1024", 1024 * 1024),
        ] {
            assert_eq!(text.parse::<MemorySize>().unwrap().mib(), mib, "{text}");
        }
    }

    #[test]
    fn memory_refused() {
        for text in
            ["", "gb", "8xb", "-8", "8.5", "0", "64mb", "1025", "18446744073709551615gb", "8gb8", "８"]
        {
            assert!(text.parse::<MemorySize>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn disks() {
        assert_eq!("50".parse::<DiskSize>().unwrap().gib(), 50);
        assert_eq!("1tb".parse::<DiskSize>().unwrap().gib(), 1024);
        assert_eq!("2048mb".parse::<DiskSize>().unwrap().gib(), 2);
        for text in ["0", "10001", "500mb", "1pb", "10tb "] {
            assert!(text.parse::<DiskSize>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn cpus() {
        assert_eq!("4".parse::<CpuCount>().unwrap().get(), 4);
        assert_eq!("4cpu".parse::<CpuCount>().unwrap().get(), 4);
        for text in ["0", "129", "four", "4gb", "99999999999999999999"] {
            assert!(text.parse::<CpuCount>().is_err(), "{text:?} was accepted");
        }
    }

    proptest! {
        #[test]
        fn what_is_displayed_parses_back(mib in 128u64..=1024 * 1024) {
            let size = MemorySize::from_mib(mib).unwrap();
            prop_assert_eq!(size.to_string().parse::<MemorySize>().unwrap(), size);
        }

        #[test]
        fn any_text_is_an_answer_not_a_panic(text in "\\PC{0,24}") {
            let _ = text.parse::<MemorySize>();
            let _ = text.parse::<DiskSize>();
            let _ = text.parse::<CpuCount>();
        }
    }
}

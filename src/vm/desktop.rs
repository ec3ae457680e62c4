//! The screen of a VM that has one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::diagnostic::{Diagnostic, Kind};
use crate::vm::port::Port;

/// The smallest and the largest side of a screen, in pixels, as the NixOS guest has them (`nixos/lib/spec.nix`).
const SIDES: std::ops::RangeInclusive<u16> = 320..=16384;

/// How many pixels a screen has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Resolution {
    width: u16,
    height: u16,
}

impl Resolution {
    /// What a screen has for which nothing is asked.
    pub const DEFAULT: Self = Self { width: 1920, height: 1080 };

    /// Returns the pixels in a row.
    pub const fn width(self) -> u16 {
        self.width
    }

    /// Returns the rows.
    pub const fn height(self) -> u16 {
        self.height
    }
}

impl FromStr for Resolution {
    type Err = ResolutionError;

    fn from_str(text: &str) -> Result<Self, ResolutionError> {
        let side = |text: &str| {
            let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
            text.parse().ok().filter(|side| plain && SIDES.contains(side))
        };
        let sides = text.split_once('x').and_then(|(width, height)| Some((side(width)?, side(height)?)));
        let (width, height) =
            sides.ok_or_else(|| ResolutionError { given: text.escape_debug().to_string() })?;
        Ok(Self { width, height })
    }
}

impl fmt::Display for Resolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}x{}", self.width, self.height))
    }
}

impl TryFrom<String> for Resolution {
    type Error = ResolutionError;

    fn try_from(text: String) -> Result<Self, ResolutionError> {
        text.parse()
    }
}

impl From<Resolution> for String {
    fn from(resolution: Resolution) -> Self {
        resolution.to_string()
    }
}

/// Not a resolution.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a resolution: each side has {} to {} pixels", SIDES.start(), SIDES.end())]
pub struct ResolutionError {
    /// What was given, escaped.
    given: String,
}

impl Diagnostic for ResolutionError {
    fn kind(&self) -> Kind {
        Kind::Usage
    }

    fn hints(&self) -> Vec<String> {
        vec!["write WIDTHxHEIGHT, for example `--resolution 1920x1080`".to_owned()]
    }
}

/// The port of a screen on loopback. VNC counts its displays from 5900 on (RFC 6143, which has the number from X), and QEMU takes
/// no other number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Port", into = "Port")]
pub struct ScreenPort(Port);

impl ScreenPort {
    /// The first one.
    const FIRST: u16 = 5900;

    /// Returns the first one as a port.
    pub fn first() -> Option<Port> {
        Port::new(Self::FIRST)
    }

    /// Returns the port.
    pub const fn get(self) -> Port {
        self.0
    }

    /// Returns the number of VNC's display.
    pub const fn display(self) -> u16 {
        self.0.get().saturating_sub(Self::FIRST)
    }
}

impl TryFrom<Port> for ScreenPort {
    type Error = ScreenPortError;

    fn try_from(port: Port) -> Result<Self, ScreenPortError> {
        if port.get() >= Self::FIRST { Ok(Self(port)) } else { Err(ScreenPortError { port }) }
    }
}

impl From<ScreenPort> for Port {
    fn from(port: ScreenPort) -> Self {
        port.get()
    }
}

impl fmt::Display for ScreenPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Not the port of a screen.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{port} cannot be the port of a screen: those are {} to 65535", ScreenPort::FIRST)]
pub struct ScreenPortError {
    port: Port,
}

/// A screen, with keyboard and pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Desktop {
    /// How many pixels it has.
    pub resolution: Resolution,
    /// The port on loopback where a viewer finds it, once it has been needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<ScreenPort>,
}

impl Desktop {
    /// Returns a screen that nobody has looked at.
    pub const fn new(resolution: Resolution) -> Self {
        Self { resolution, port: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_screens_are_vncs() {
        let screen = |number| ScreenPort::try_from(Port::new(number).unwrap());
        assert_eq!(screen(5900).unwrap().display(), 0);
        assert_eq!(screen(65535).unwrap().display(), 59635);
        for number in [1, 22, 5899] {
            assert!(screen(number).unwrap_err().to_string().starts_with(&format!("{number} cannot")));
        }
    }

    #[test]
    fn resolutions() {
        for good in ["1920x1080", "320x320", "16384x16384", "1280x720"] {
            assert_eq!(good.parse::<Resolution>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "x",
            "1920",
            "1920x",
            "1920X1080",
            "319x1080",
            "1920x16385",
            "01920x1080",
            "+1920x1080",
            "1x1x1",
        ] {
            assert!(bad.parse::<Resolution>().is_err(), "{bad:?} was accepted");
        }
    }
}

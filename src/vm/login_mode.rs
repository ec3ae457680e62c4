//! How a VM gets the login of its coding agent.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::diagnostic::{Diagnostic, Kind};

/// How Claude Code in a VM is logged in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LoginMode {
    /// By whoever uses it there; ai-vm gives it nothing.
    #[default]
    None,
    /// By a token that does not change: of `claude setup-token`, or an API key.
    Token,
    /// By a copy of this machine's login, which changes whenever Claude Code renews it anywhere.
    Copy,
}

impl LoginMode {
    /// Tells whether ai-vm gives it nothing.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }
}

impl fmt::Display for LoginMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::None => "none",
            Self::Token => "token",
            Self::Copy => "copy",
        })
    }
}

/// A text that is no such mode.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a way to log Claude Code in")]
pub struct LoginModeError {
    given: String,
}

impl Diagnostic for LoginModeError {
    fn kind(&self) -> Kind {
        Kind::Usage
    }

    fn hints(&self) -> Vec<String> {
        vec![
            "use `none`, `token` (of `claude setup-token`) or `copy` (of the login on this machine)"
                .to_owned(),
        ]
    }
}

impl FromStr for LoginMode {
    type Err = LoginModeError;

    fn from_str(text: &str) -> Result<Self, LoginModeError> {
        match text {
            "none" => Ok(Self::None),
            "token" => Ok(Self::Token),
            "copy" => Ok(Self::Copy),
            _ => Err(LoginModeError { given: text.escape_debug().to_string() }),
        }
    }
}

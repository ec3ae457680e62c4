//! Why configuration is not sent.

use std::path::PathBuf;

use crate::diagnostic::{Diagnostic, Kind};
use crate::transfer::error::TransferError;

/// Why configuration is not sent.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no home directory, so nobody knows where it is.
    #[error("it is not known where Claude Code's configuration is: HOME is not set")]
    NoHome,
    /// The directory leads out of the home.
    #[error("`{}` leads to `{}`, which is not in your home", path.display(), real.display())]
    Elsewhere {
        /// The directory.
        path: PathBuf,
        /// Where it leads.
        real: PathBuf,
    },
    /// The guest did not take it.
    #[error(transparent)]
    Transfer(Box<TransferError>),
}

impl From<TransferError> for ConfigError {
    fn from(error: TransferError) -> Self {
        Self::Transfer(Box::new(error))
    }
}

impl Diagnostic for ConfigError {
    fn kind(&self) -> Kind {
        match self {
            Self::NoHome | Self::Elsewhere { .. } => Kind::Usage,
            Self::Transfer(error) => error.kind(),
        }
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::Transfer(error) => error.exit_code(),
            other => other.kind().exit_code(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NoHome => {
                vec!["name the directory: `export CLAUDE_CONFIG_DIR=/path/to/.claude`".to_owned()]
            }
            Self::Elsewhere { real, .. } => {
                vec![format!("if that is meant: `export CLAUDE_CONFIG_DIR={}`", real.display())]
            }
            Self::Transfer(error) => error.hints(),
        }
    }
}

//! How it is shown how things are getting on.

use clap::ValueEnum;

/// What somebody asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Choice {
    /// A live line on a terminal, elsewhere a plain line for each step
    #[default]
    Auto,
    /// A plain line for each step, also on a terminal
    Plain,
    /// One JSON object a line on stderr, errors and warnings too
    Json,
    /// No steps; errors, warnings and answers stay
    None,
}

/// What that means for this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Lines that change, and go when what they are about is over.
    Live,
    /// A line for each step that deserves one in a log.
    Log,
    /// A line for each step.
    Plain,
    /// JSON.
    Json,
    /// Nothing.
    Silent,
}

impl Choice {
    /// Returns what it means where stderr is, or is not, a terminal on which lines can change.
    pub const fn mode(self, can_change: bool) -> Mode {
        match self {
            Self::Auto if can_change => Mode::Live,
            Self::Auto => Mode::Log,
            Self::Plain => Mode::Plain,
            Self::Json => Mode::Json,
            Self::None => Mode::Silent,
        }
    }
}

impl Mode {
    /// Tells whether somebody asked to see steps, whatever else a command writes.
    pub const fn is_asked_for(self) -> bool {
        matches!(self, Self::Plain | Self::Json)
    }
}

//! How a command goes about many VMs at once.

/// What is common to all verbs that do something to many VMs.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
#[command(next_help_heading = "Many VMs")]
pub struct Parallel {
    /// Work on at most this many at the same time [default: on all]
    #[arg(short, long, value_name = "COUNT")]
    jobs: Option<usize>,
    /// End the others as soon as one fails
    #[arg(long)]
    pub fail_fast: bool,
}

impl Parallel {
    /// Tells whether anything was asked for.
    pub const fn is_given(self) -> bool {
        self.jobs.is_some() || self.fail_fast
    }

    /// Returns on how many it may work at the same time.
    pub fn at_once(self) -> usize {
        self.jobs.unwrap_or(usize::MAX)
    }
}

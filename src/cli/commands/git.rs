//! What `push`, `fetch` and `diff` have in common.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use crate::cli::commands::exec::ReachArgs;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::project::working_directory;
use crate::cli::values::{duration, value};
use crate::git::link::Bounds;
use crate::git::repository::Repository;
use crate::vm::share::{Share, ShareMode};
use crate::vm::size::DataSize;

/// How a repository in a guest is reached, and how much is taken from it.
#[derive(Clone, Debug, clap::Args)]
pub struct GitArgs {
    #[command(flatten)]
    pub reach: ReachArgs,
    /// How much the VM may send: 500mb, 20gb
    #[arg(long, value_name = "SIZE", default_value = "4gb", value_parser = value::<DataSize>)]
    max_size: DataSize,
    /// How long it may take: 90, 1h
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = duration)]
    max_time: Duration,
}

impl GitArgs {
    /// Returns what is taken at most.
    pub const fn bounds(&self) -> Bounds {
        Bounds { size: self.max_size.bytes(), time: self.max_time }
    }
}

/// Returns the repository that this command is run in. Of one that a VM can write to it is said what that means.
pub fn repository(ctx: &Context) -> Result<Repository, Failure> {
    let repository = Repository::find(&working_directory()?)?;
    for entry in ctx.registry().list()? {
        let shares = entry.record.map(|record| record.shares).unwrap_or_default();
        let can_write = |share: &Share| share.mode == ShareMode::Rw && repository.lies_in(&share.path);
        if shares.iter().any(can_write) {
            let name = entry.name;
            ctx.terminal.warn(&format!(
                "{name}: can write to this very repository, which is in its share; what git runs here may be its doing"
            ));
        }
    }
    Ok(repository)
}

/// Returns the folder in a guest: the one that was asked for, else one in the home directory that is called like the
/// repository.
pub fn folder(asked: Option<&OsStr>, repository: &Repository) -> OsString {
    match asked {
        // The home that is meant is the guest's.
        Some(dir) => {
            OsStr::from_bytes(dir.as_bytes().strip_prefix(b"~/").unwrap_or(dir.as_bytes())).to_owned()
        }
        None => repository.name(),
    }
}

/// Returns a folder in a guest as people write it.
pub fn shown(dir: &OsStr) -> String {
    let text = dir.to_string_lossy();
    if text.starts_with('/') { text.into_owned() } else { format!("~/{text}") }
}

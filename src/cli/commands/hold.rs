//! `ai-vm hold-connections`: keeps connections for other commands, which start it in the data directory.

use std::path::Path;

use crate::cli::failure::{Failure, RuntimeError};
use crate::host::layout::Layout;
use crate::host::process;
use crate::ssh::mux::{holder, wire};

/// Keeps connections until nobody needs them.
pub fn run() -> Result<u8, Failure> {
    // A program that is carried takes five descriptors, and there can be hundreds.
    process::raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let served = runtime.and_then(|runtime| {
        runtime.block_on(holder::serve(Path::new("."), &Layout::holder_socket(wire::VERSION)))
    });
    served.map_err(RuntimeError)?;
    Ok(0)
}

//! Whether nobody else can change what ai-vm keeps, without which no other verb uses it.

use crate::doctor::finding::Finding;
use crate::doctor::modes;
use crate::host::data_dir::{self, DataDirError};
use crate::lifecycle::Engine;

/// What this check is called.
pub const SUBJECT: &str = "data directory";

/// Looks at the data directory; `false` when what is in it may be somebody else's.
pub fn check(engine: &Engine) -> (Finding, bool) {
    let layout = engine.registry.layout();
    match data_dir::check(layout) {
        Ok(()) => (Finding::ok(SUBJECT, layout.root().display().to_string()), true),
        Err(error @ DataDirError::Writable { .. }) => {
            let meaning = "others could exchange disks and keys, so every other verb refuses it";
            let root = layout.root().to_owned();
            (Finding::of(SUBJECT, &error, meaning).ours(move || Ok(modes::make_private(&root)?)), false)
        }
        Err(error) => (Finding::of(SUBJECT, &error, "no other verb uses it"), false),
    }
}

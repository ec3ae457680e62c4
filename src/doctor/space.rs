//! Whether there is room for an image and a VM.

use crate::doctor::finding::Finding;
use crate::host::capacity;
use crate::lifecycle::Engine;

const SUBJECT: &str = "disk space";

/// What an image and a VM take, in GiB.
const WANTED: u64 = 5;

/// Measures what is free where disks are kept. What lies there is the user's, so nothing is removed.
pub fn check(engine: &Engine) -> Vec<Finding> {
    let root = engine.registry.layout().root();
    vec![match capacity::measure(root).free_disk.map(|free| free >> 30) {
        Some(free) if free >= WANTED => Finding::ok(SUBJECT, format!("{free} GiB free for VMs")),
        Some(free) => {
            let detail = format!("only {free} GiB free in `{}`", root.display());
            let meaning =
                format!("an image and a VM take {WANTED} GiB; a guest whose disk cannot grow stands still");
            Finding::warning(SUBJECT, detail, &meaning)
                .hint("`ai-vm image prune`, or another directory: `export AI_VM_HOME=DIR`")
        }
        None => Finding::ok(SUBJECT, "not known"),
    }]
}

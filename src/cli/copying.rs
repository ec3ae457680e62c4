//! How a copy is shown while it goes on.

use std::convert::Infallible;

use crate::lifecycle::event::{self, Listener, Now};
use crate::transfer::watch::{Stage, Watch};

/// Tells how a copy is getting on for as long as this is polled, if it takes longer than a moment.
pub async fn show(listener: &Listener, watch: &Watch) -> Infallible {
    event::follow(listener, || {
        let (step, bytes) = match watch.stage() {
            // Whoever reaches a VM says so.
            Stage::Reaching => return None,
            Stage::Comparing => ("comparing", None),
            Stage::Copying => ("copying", Some((watch.passed(), watch.expected()))),
            Stage::Placing => ("putting it in place", None),
        };
        Some(Now { step, bytes })
    })
    .await
}

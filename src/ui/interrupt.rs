//! Takes live lines away when a signal ends the process.

use std::sync::mpsc;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressDrawTarget};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::ssh::signals;

/// How long a terminal may take for that. One that was told to stand still takes nothing.
const PATIENCE: Duration = Duration::from_millis(500);

/// From now on a signal that ends this process takes the live lines away first. The process ends by it all the same, as
/// whoever started it expects. Commands that listen to signals themselves end by themselves, and with them their lines.
pub fn clear_at_end(live: &MultiProgress) {
    let Ok(mut signals) = Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM]) else { return };
    let live = live.clone();
    std::thread::spawn(move || {
        for signal in signals.forever() {
            if signals::are_listened_to() {
                continue;
            }
            let (done, cleared) = mpsc::channel();
            let live = live.clone();
            std::thread::spawn(move || {
                // A terminal that is gone shows nothing that would have to go.
                let _ = live.clear();
                live.set_draw_target(ProgressDrawTarget::hidden());
                let _ = done.send(());
            });
            let _ = cleared.recv_timeout(PATIENCE);
            // It returns only for signals that end nothing.
            let _ = emulate_default_handler(signal);
        }
    });
}

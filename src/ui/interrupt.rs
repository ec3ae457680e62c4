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
/// whoever started it expects: one that is ignored since then, as in the background of a script, stays ignored. Commands that
/// listen to signals themselves end by themselves, and with them their lines.
pub fn clear_at_end(live: &MultiProgress) {
    let ignored = ignored(&std::fs::read_to_string("/proc/self/status").unwrap_or_default());
    let ends =
        [SIGHUP, SIGINT, SIGQUIT, SIGTERM].into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0);
    let Ok(mut signals) = Signals::new(ends) else { return };
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

/// Returns the signals that a process ignores, the lowest bit for the first (proc_pid_status(5)).
fn ignored(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_read() {
        assert_eq!(ignored("Name:\tx\nSigIgn:\t0000000000001003\nSigCgt:\t0\n"), 0x1003);
        assert_eq!(ignored(""), 0);
    }
}

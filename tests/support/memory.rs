//! How much memory a command takes, whatever a server sends.

use std::process::Child;
use std::thread::JoinHandle;
use std::time::Duration;

/// The most that a command may take, in KiB. A debug build takes 12 to 17 MiB for an ordinary command, 21 in a flood.
const MOST: u64 = 40 << 10;

/// Watches a command to its end.
pub struct Watch(JoinHandle<u64>);

impl Watch {
    pub fn on(child: &Child) -> Self {
        let pid = child.id();
        Self(std::thread::spawn(move || {
            let mut peak = 0;
            while let Some(now) = high_water(pid) {
                peak = now;
                std::thread::sleep(Duration::from_millis(2));
            }
            peak
        }))
    }

    /// Returns the most memory that the command, which has ended, has had, in KiB.
    pub fn peak(self) -> u64 {
        self.0.join().unwrap()
    }

    /// Sees that the command, which has ended, stayed small.
    pub fn check(self, about: &str) {
        let peak = self.peak();
        assert!(peak < MOST, "{about} took {peak} KiB");
    }
}

/// The most memory that a process has had until now, in KiB; `None` when it has ended.
pub fn high_water(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

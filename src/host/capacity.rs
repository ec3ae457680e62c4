//! What this machine has to give to VMs.

use std::path::Path;

use crate::vm::capacity::Capacity;

/// Measures the machine; `disks` is a directory on the file system that disks are kept on.
pub fn measure(disks: &Path) -> Capacity {
    let space = rustix::fs::statvfs(disks).ok();
    Capacity {
        memory_mib: memory_mib(),
        cpus: std::thread::available_parallelism().ok().map(|count| count.get() as u64),
        free_disk: space.map(|space| space.f_bavail.saturating_mul(space.f_frsize)),
    }
}

/// Reads `MemTotal:  24689764 kB` from `/proc/meminfo`.
fn memory_mib() -> Option<u64> {
    let table = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = table.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_something() {
        let capacity = measure(Path::new("/"));
        assert!(capacity.memory_mib.is_some_and(|mib| mib > 100));
        assert!(capacity.cpus.is_some() && capacity.free_disk.is_some());
    }
}

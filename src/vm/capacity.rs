//! Whether a machine can carry a VM: warnings, never refusals, because over-commitment is the user's to choose.

use crate::vm::spec::Hardware;

/// What the host has. A figure that cannot be had is `None` and warns of nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Capacity {
    /// Physical memory in MiB.
    pub memory_mib: Option<u64>,
    /// Logical processors.
    pub cpus: Option<u64>,
    /// Free space in bytes where disks are kept.
    pub free_disk: Option<u64>,
}

impl Capacity {
    /// Returns what is unwise about giving a VM this hardware, each a full line.
    pub fn warnings(&self, wanted: &Hardware) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(total) = self.memory_mib
            && wanted.memory.mib() * 10 > total * 8
        {
            warnings
                .push(format!("{} of memory is more than 80 % of this machine's {total} MiB", wanted.memory));
        }
        if let Some(cpus) = self.cpus
            && wanted.cpus.get() > cpus
        {
            warnings
                .push(format!("{} processors are more than the {cpus} of this machine", wanted.cpus.get()));
        }
        if let Some(free) = self.free_disk
            && wanted.disk.bytes() > free
        {
            let free = free / (1 << 30);
            warnings.push(format!(
                "a disk of {} can outgrow the {free} GiB that are free (it grows as the guest writes)",
                wanted.disk
            ));
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::size::{CpuCount, DiskSize, MemorySize};

    #[test]
    fn warns_past_each_limit_and_not_at_it() {
        let host = Capacity { memory_mib: Some(10_000), cpus: Some(4), free_disk: Some(50 << 30) };
        let hardware = |mib, cpus, gib| Hardware {
            memory: MemorySize::from_mib(mib).unwrap(),
            cpus: CpuCount::new(cpus).unwrap(),
            disk: DiskSize::from_gib(gib).unwrap(),
        };
        assert_eq!(host.warnings(&hardware(8000, 4, 50)), Vec::<String>::new());
        assert_eq!(host.warnings(&hardware(8001, 5, 51)).len(), 3);
        assert_eq!(Capacity::default().warnings(&hardware(8001, 5, 51)), Vec::<String>::new());
    }
}

//! Folders of the host as devices of a machine.
//!
//! QEMU serves them itself (9p), without a second process that would have to live and die with it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::host::process;
use crate::host::program::ProcessError;

/// The device by which a guest has a folder.
const DEVICE: &str = "virtio-9p-pci";

/// Tells whether a QEMU has that device: it can be built without.
pub fn is_known(qemu: &Path) -> Result<bool, ProcessError> {
    let devices = process::output(Command::new(qemu).args(["-device", "help"]), Duration::from_secs(10))?;
    Ok(String::from_utf8_lossy(&devices).contains(&format!("\"{DEVICE}\"")))
}

/// A folder that QEMU has open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedFolder {
    /// The number of its descriptor in QEMU.
    pub descriptor: i32,
    /// The name by which the guest asks for it: letters, digits, `.`, `_` and `-`, at most 31 bytes.
    pub tag: String,
    /// Whether the guest may write. QEMU refuses it else, whatever the guest does.
    pub writable: bool,
    /// Whether owners and modes that the guest gives to files are only noted beside them, and links and devices are plain
    /// files here: for a QEMU that runs as root.
    pub mapped: bool,
}

impl SharedFolder {
    /// Returns the two options; `index` tells it from the machine's others.
    ///
    /// The path leads to what has been opened, so no character of the folder's own path reaches QEMU, and nothing that
    /// becomes of that path changes what the guest sees.
    pub fn options(&self, index: usize) -> [(&'static str, String); 2] {
        let Self { descriptor, tag, writable, mapped } = self;
        let model = if *mapped { "mapped-xattr" } else { "none" };
        let readonly = if *writable { "off" } else { "on" };
        // Files of different file systems in one folder can have the same numbers; `remap` keeps them apart.
        let folder = format!(
            "local,id=share{index},path=/proc/self/fd/{descriptor},security_model={model},readonly={readonly},\
             multidevs=remap"
        );
        [("-fsdev", folder), ("-device", format!("{DEVICE},fsdev=share{index},mount_tag={tag}"))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_only_is_said_to_qemu() {
        let folder = SharedFolder { descriptor: 7, tag: "ro-1-x".into(), writable: false, mapped: false };
        let [(_, fsdev), (_, device)] = folder.options(3);
        assert_eq!(
            fsdev,
            "local,id=share3,path=/proc/self/fd/7,security_model=none,readonly=on,multidevs=remap"
        );
        assert_eq!(device, "virtio-9p-pci,fsdev=share3,mount_tag=ro-1-x");
        let [(_, fsdev), _] = SharedFolder { writable: true, mapped: true, ..folder }.options(0);
        assert!(fsdev.contains("security_model=mapped-xattr,readonly=off"), "{fsdev}");
    }
}

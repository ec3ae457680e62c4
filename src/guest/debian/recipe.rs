//! The files of the recipe, embedded so that the binary needs no checkout.

/// Each file with its path inside the recipe.
pub(super) const FILES: &[(&str, &str)] = &[
    ("boot.sh", include_str!("build/boot.sh")),
    ("build.sh", include_str!("build/build.sh")),
    ("claude.sh", include_str!("build/claude.sh")),
    ("cmdline", include_str!("build/cmdline")),
    ("customize.sh", include_str!("build/customize.sh")),
    ("disk.sh", include_str!("build/disk.sh")),
    ("initrd-init", include_str!("build/initrd-init")),
    ("packages", include_str!("build/packages")),
    ("rootfs/etc/ai-vm/packages", include_str!("build/rootfs/etc/ai-vm/packages")),
    ("rootfs/etc/profile.d/ai-vm.sh", include_str!("build/rootfs/etc/profile.d/ai-vm.sh")),
    (
        "rootfs/etc/ssh/sshd_config.d/10-ai-vm.conf",
        include_str!("build/rootfs/etc/ssh/sshd_config.d/10-ai-vm.conf"),
    ),
    ("rootfs/etc/sudoers.d/ai-vm", include_str!("build/rootfs/etc/sudoers.d/ai-vm")),
    (
        "rootfs/etc/systemd/journald.conf.d/ai-vm.conf",
        include_str!("build/rootfs/etc/systemd/journald.conf.d/ai-vm.conf"),
    ),
    (
        "rootfs/etc/systemd/network/10-ethernet.network",
        include_str!("build/rootfs/etc/systemd/network/10-ethernet.network"),
    ),
    (
        "rootfs/etc/systemd/system/ai-vm-grow.service",
        include_str!("build/rootfs/etc/systemd/system/ai-vm-grow.service"),
    ),
    (
        "rootfs/etc/systemd/system/ai-vm-identity.service",
        include_str!("build/rootfs/etc/systemd/system/ai-vm-identity.service"),
    ),
    (
        "rootfs/etc/systemd/system/serial-getty@ttyS0.service.d/autologin.conf",
        include_str!("build/rootfs/etc/systemd/system/serial-getty@ttyS0.service.d/autologin.conf"),
    ),
    ("rootfs/etc/systemd/system/ssh.service", include_str!("build/rootfs/etc/systemd/system/ssh.service")),
    ("rootfs/usr/local/bin/rebuild", include_str!("build/rootfs/usr/local/bin/rebuild")),
    // The same in every guest.
    ("rootfs/usr/local/bin/start-claude", include_str!("../../../nixos/scripts/start-claude.sh")),
    ("rootfs/usr/local/lib/ai-vm/autologin", include_str!("build/rootfs/usr/local/lib/ai-vm/autologin")),
    ("rootfs/usr/local/lib/ai-vm/identity", include_str!("build/rootfs/usr/local/lib/ai-vm/identity")),
    (
        "rootfs/usr/local/lib/ai-vm/rebuild-packages",
        include_str!("build/rootfs/usr/local/lib/ai-vm/rebuild-packages"),
    ),
];

#[cfg(test)]
mod tests {
    use super::FILES;
    use std::path::Path;

    fn count(dir: &Path) -> usize {
        let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        entries.map(|path| if path.is_dir() { count(&path) } else { 1 }).sum()
    }

    #[test]
    fn no_file_is_forgotten() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/guest/debian/build");
        // One lies with the scripts of the other guest family.
        assert_eq!(count(&dir) + 1, FILES.len());
    }
}

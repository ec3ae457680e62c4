//! The files of the recipe, embedded so that the binary needs no checkout.

/// A file: its path inside the recipe, and what is in it.
pub(super) type File = (&'static str, &'static str);

/// What every guest is made from.
pub(super) const FILES: &[File] = &[
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

/// What a guest with a desktop is made from besides.
pub(super) const DESKTOP: &[File] = &[
    ("desktop/customize.sh", include_str!("build/desktop/customize.sh")),
    ("desktop/packages", include_str!("build/desktop/packages")),
    (
        "desktop/rootfs/etc/X11/xorg.conf.d/ai-vm.conf",
        include_str!("build/desktop/rootfs/etc/X11/xorg.conf.d/ai-vm.conf"),
    ),
    (
        "desktop/rootfs/etc/profile.d/ai-vm-desktop.sh",
        include_str!("build/desktop/rootfs/etc/profile.d/ai-vm-desktop.sh"),
    ),
    (
        "desktop/rootfs/etc/xdg/xfce4/xfconf/xfce-perchannel-xml/xfwm4.xml",
        include_str!("build/desktop/rootfs/etc/xdg/xfce4/xfconf/xfce-perchannel-xml/xfwm4.xml"),
    ),
    ("desktop/rootfs/etc/pam.d/ai-vm-desktop", include_str!("build/desktop/rootfs/etc/pam.d/ai-vm-desktop")),
    (
        "desktop/rootfs/etc/systemd/system/ai-vm-desktop@.service",
        include_str!("build/desktop/rootfs/etc/systemd/system/ai-vm-desktop@.service"),
    ),
    (
        "desktop/rootfs/etc/systemd/system-generators/ai-vm-desktop",
        include_str!("build/desktop/rootfs/etc/systemd/system-generators/ai-vm-desktop"),
    ),
    (
        "desktop/rootfs/usr/local/lib/ai-vm/desktop",
        include_str!("build/desktop/rootfs/usr/local/lib/ai-vm/desktop"),
    ),
];

#[cfg(test)]
mod tests {
    use super::{DESKTOP, FILES};
    use std::path::Path;

    fn count(dir: &Path) -> usize {
        let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        entries.map(|path| if path.is_dir() { count(&path) } else { 1 }).sum()
    }

    #[test]
    fn no_file_is_forgotten() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/guest/debian/build");
        // One lies with the scripts of the other guest family.
        assert_eq!(count(&dir) + 1, FILES.len() + DESKTOP.len());
        assert!(DESKTOP.iter().all(|(name, _)| name.starts_with("desktop/")));
    }
}

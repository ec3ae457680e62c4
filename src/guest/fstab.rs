//! What a guest mounts for the folders of the host that it sees, as lines of fstab(5): systemd reads them from a
//! credential, and whoever has no such systemd can do with them what `mount -a` does.

use std::collections::BTreeSet;

use crate::vm::share::{Share, ShareMode};

/// The servers that nobody is to reach before the mounts have been tried: OpenSSH's by its names, and cloud-init, which
/// runs what a user's set-up says.
const BEFORE: [&str; 4] = ["ssh.service", "sshd.service", "cloud-init.service", "cloud-init-network.service"];

/// The largest message between guest and QEMU, in bytes; the kernel's own default is slow
/// (<https://wiki.qemu.org/Documentation/9psetup#msize>).
const MESSAGE: u32 = 512_000;

/// Loads the module that finds the shares before the first is mounted: a mount that has it loaded makes others beside it
/// fail at that moment, whose shares have not been found yet. A kernel that has it built in starts the unit in vain.
const FOUND: &str = "x-systemd.requires=modprobe@9pnet_virtio.service";

/// Returns the lines for these shares, none for none.
///
/// A guest boots also when one cannot be mounted. What they are mounted on lies in memory, so that a share that is gone
/// leaves no directory, and one that is missing no place to which files would be written in vain.
pub fn of(shares: &[Share]) -> String {
    let mut common = "nofail,X-mount.mkdir,x-systemd.mount-timeout=30s".to_owned();
    for unit in BEFORE {
        common.push_str(",x-systemd.before=");
        common.push_str(unit);
    }
    let places: BTreeSet<&str> = shares.iter().map(|share| share.mode.place()).collect();
    let place = |place: &str| format!("tmpfs {place} tmpfs mode=0755,size=64k,{common} 0 0\n");
    let share = |share: &Share| {
        let mode = match share.mode {
            ShareMode::Rw => "rw",
            ShareMode::Ro => "ro",
        };
        let at = escaped(&share.guest_path());
        let options = format!("trans=virtio,version=9p2000.L,msize={MESSAGE},{mode},{common},{FOUND}");
        format!("{} {at} 9p {options} 0 0\n", share.tag())
    };
    places.into_iter().map(place).chain(shares.iter().map(share)).collect()
}

/// Escapes what ends a field, as getmntent(3) reads it.
fn escaped(field: &str) -> String {
    let escape = |c: char| match c {
        ' ' | '\t' | '\n' | '\\' => format!("\\{:03o}", u32::from(c)),
        c => c.to_string(),
    };
    field.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_for_nothing_and_a_line_for_each() {
        assert_eq!(of(&[]), "");
        let share = Share::new("/home/u/my web".into(), ShareMode::Ro, false, &[]);
        let text = of(&[share]);
        let fields: Vec<Vec<&str>> = text.lines().map(|line| line.split(' ').collect()).collect();
        assert_eq!(fields[0][..3], ["tmpfs", "/mnt/host-ro", "tmpfs"]);
        assert_eq!(fields[1][1..3], ["/mnt/host-ro/my\\040web", "9p"]);
        assert!(
            fields[1][3].contains(",ro,nofail,") && fields[1][3].contains("x-systemd.before=ssh.service")
        );
        assert_eq!(fields.len(), 2);
    }

    proptest! {
        #[test]
        fn no_name_becomes_another_field(name in "[^/\u{0}]{1,40}") {
            prop_assume!(!matches!(name.as_str(), "." | ".."));
            let text = of(&[Share::new(format!("/x/{name}").into(), ShareMode::Rw, false, &[])]);
            prop_assert_eq!(text.lines().count(), 2);
            for line in text.lines() {
                prop_assert_eq!(line.split([' ', '\t']).count(), 6, "{:?}", line);
            }
        }
    }
}

//! The seed of a brought image: a small disk from which its cloud-init learns who it is (the NoCloud data source).

use std::io::{self, Cursor, Write};

use crate::guest::credentials::Identity;

/// The size of the seed disk: FAT12 at its smallest comfortable.
const BYTES: usize = 1 << 20;

/// Mounts the shared folders; run by the guest's cloud-init at every boot. Like the boot's marker it reads them from the
/// firmware's tables, because this seed may be read only once.
pub const MOUNTS: &str = include_str!("mounts.sh");

/// Writes down what cloud-init is to do, as YAML. JSON strings are YAML strings, so nothing can break out of them.
fn user_data(identity: &Identity) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let keys: Vec<String> = identity.authorized_keys.lines().map(quoted).collect();
    // The marker changes with every boot while this seed stays as it is: the guest reads it from the firmware's
    // tables, where the Debian guest finds it too.
    let marker = "mkdir -p /run/ai-vm && tr '\\0' '\\n' < /sys/firmware/dmi/tables/DMI | \
        sed -n 's/^.*io\\.systemd\\.credential\\.binary:ai-vm\\.boot=//p' | base64 -d > /run/ai-vm/boot";
    format!(
        "#cloud-config\n\
         hostname: {hostname}\n\
         preserve_hostname: false\n\
         manage_etc_hosts: localhost\n\
         users:\n\
         - name: {user}\n\
         \x20 uid: {uid}\n\
         \x20 shell: /bin/bash\n\
         \x20 lock_passwd: true\n\
         \x20 sudo: [\"ALL=(ALL) NOPASSWD:ALL\"]\n\
         \x20 ssh_authorized_keys: [{keys}]\n\
         ssh_pwauth: false\n\
         disable_root: true\n\
         ssh_deletekeys: true\n\
         ssh_genkeytypes: []\n\
         ssh_keys:\n\
         \x20 ed25519_private: {host_key}\n\
         growpart: {{mode: auto, devices: [/]}}\n\
         resize_rootfs: true\n\
         bootcmd:\n\
         - [sh, -c, {mounts}]\n\
         - [sh, -c, {marker}]\n",
        hostname = quoted(&identity.hostname),
        user = quoted(&identity.user),
        uid = identity.uid,
        keys = keys.join(", "),
        host_key = quoted(&identity.host_key),
        marker = quoted(marker),
        mounts = quoted(MOUNTS),
    )
}

/// Makes the seed disk: a FAT file system labelled `CIDATA` with `user-data` and `meta-data`.
pub fn disk(identity: &Identity, instance: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Cursor::new(vec![0; BYTES]);
    let options = fatfs::FormatVolumeOptions::new().volume_label(*b"CIDATA     ");
    fatfs::format_volume(&mut bytes, options)?;
    let volume = fatfs::FileSystem::new(&mut bytes, fatfs::FsOptions::new())?;
    // A constant instance id: cloud-init sets the guest up once and leaves it alone at later boots.
    let meta_data = format!("instance-id: {instance}\nlocal-hostname: {}\n", identity.hostname);
    for (name, content) in [("user-data", user_data(identity)), ("meta-data", meta_data)] {
        volume.root_dir().create_file(name)?.write_all(content.as_bytes())?;
    }
    volume.unmount()?;
    Ok(bytes.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn the_seed_holds_what_cloud_init_reads() {
        let identity = Identity {
            hostname: "web".into(),
            machine_id: "0".repeat(32),
            user: "dev".into(),
            uid: 1000,
            authorized_keys: "ssh-ed25519 AAAA a\"b\n".into(),
            host_key: "-----BEGIN\nline\n".into(),
            boot: "m".into(),
            fstab: String::new(),
        };
        let disk = disk(&identity, "i-1").unwrap();
        let volume = fatfs::FileSystem::new(Cursor::new(disk), fatfs::FsOptions::new()).unwrap();
        assert_eq!(volume.volume_label(), "CIDATA");
        let mut text = String::new();
        volume.root_dir().open_file("user-data").unwrap().read_to_string(&mut text).unwrap();
        assert!(text.starts_with("#cloud-config\n"));
        assert!(text.contains(r#"ssh_authorized_keys: ["ssh-ed25519 AAAA a\"b"]"#), "{text}");
        assert!(text.contains("\n- [sh, -c, \"# Mounts the folders"), "{text}");
        assert!(text.contains(r#"ed25519_private: "-----BEGIN\nline\n""#), "{text}");
    }
}

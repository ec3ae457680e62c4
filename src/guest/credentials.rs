//! The identity that a guest is given at launch, as systemd credentials in SMBIOS type 11 strings.
//!
//! One image serves every VM this way, and no secret is ever in an argument: QEMU reads each string from a file
//! (<https://systemd.io/CREDENTIALS/>, "System Credentials"; `-smbios type=11,path=FILE` of qemu(1)).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The credential from which systemd takes further mounts (254 and later, systemd-fstab-generator(8)).
pub const FSTAB: &str = "fstab.extra";

/// Everything that makes a guest this VM and no other.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The host name.
    pub hostname: String,
    /// systemd's machine id: 32 hexadecimal digits.
    pub machine_id: String,
    /// The login name.
    pub user: String,
    /// Its numeric id: the host user's own where it is one of a person, so that shared files belong to the same.
    pub uid: u32,
    /// Keys that may log in, in the form of an `authorized_keys` file.
    pub authorized_keys: String,
    /// The SSH server's private key, as OpenSSH writes it.
    pub host_key: String,
    /// A random text that tells this boot from every other.
    pub boot: String,
    /// What is mounted beside what the guest mounts itself, as lines of an fstab; often nothing.
    pub fstab: String,
}

impl Identity {
    /// Returns the credentials by name.
    fn values(&self) -> Vec<(&'static str, String)> {
        let mut values = vec![
            ("system.hostname", self.hostname.clone()),
            ("system.machine_id", self.machine_id.clone()),
            ("ai-vm.user", self.user.clone()),
            ("ai-vm.uid", self.uid.to_string()),
            ("ai-vm.authorized_keys", self.authorized_keys.clone()),
            ("ai-vm.ssh_host_ed25519_key", self.host_key.clone()),
            ("ai-vm.boot", self.boot.clone()),
        ];
        if !self.fstab.is_empty() {
            values.push((FSTAB, self.fstab.clone()));
        }
        values
    }

    /// Returns a file name and the SMBIOS string for each credential.
    pub fn smbios_strings(&self) -> Vec<(String, String)> {
        let encoded = |(name, value): (&'static str, String)| {
            let string = format!("io.systemd.credential.binary:{name}={}", STANDARD.encode(value));
            (format!("{name}.smbios"), string)
        };
        self.values().into_iter().map(encoded).collect()
    }
}

/// Chooses the numeric id of the guest's user: the host's where it is one of a person, else the first of those.
pub fn guest_uid(host_uid: u32) -> u32 {
    if (1000..60_000).contains(&host_uid) { host_uid } else { 1000 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_travels_encoded() {
        let identity = Identity {
            hostname: "web".into(),
            machine_id: "0".repeat(32),
            user: "dev".into(),
            uid: guest_uid(0),
            authorized_keys: "ssh-ed25519 A,B=C\n".into(),
            host_key: "-----BEGIN\nx\n".into(),
            boot: "m".into(),
            fstab: String::new(),
        };
        let strings = identity.smbios_strings();
        let (_, keys) = strings.iter().find(|(name, _)| name == "ai-vm.authorized_keys.smbios").unwrap();
        assert_eq!(keys, "io.systemd.credential.binary:ai-vm.authorized_keys=c3NoLWVkMjU1MTkgQSxCPUMK");
        assert!(strings.iter().all(|(_, string)| !string.contains('\n')));
        assert!(!strings.iter().any(|(name, _)| name.contains("fstab")));
        let shared = Identity { fstab: "a b\n".into(), ..identity };
        let strings = shared.smbios_strings();
        assert_eq!(strings.last().unwrap().1, "io.systemd.credential.binary:fstab.extra=YSBiCg==");
        assert_eq!((guest_uid(0), guest_uid(1001), guest_uid(65_534)), (1000, 1001, 1000));
    }
}

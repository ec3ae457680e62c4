//! Keys made on this machine: one that may log in, and one by which the guest's server is recognised.

use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::{Ed25519Keypair, KeypairData};
use russh::keys::{HashAlg, PrivateKey, PublicKey};

use crate::diagnostic::Diagnostic;
use crate::host::random;

/// An Ed25519 key pair in OpenSSH's own forms.
#[derive(Clone)]
pub struct KeyPair {
    /// The private key: the text of a file such as `id_ed25519`.
    pub private: String,
    /// The public key: one line such as `ssh-ed25519 AAAA... comment`.
    pub public: String,
}

/// A key could not be made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The kernel gave no random bytes.
    #[error("cannot make a key")]
    Random(#[from] std::io::Error),
    /// It cannot be written in OpenSSH's form.
    #[error("cannot write a key down")]
    Encode(#[from] russh::keys::ssh_key::Error),
}

impl Diagnostic for KeyError {}

/// Makes a key pair. The comment must hold no line break.
pub fn generate(comment: &str) -> Result<KeyPair, KeyError> {
    let pair = Ed25519Keypair::from_seed(&random::bytes()?);
    let key = PrivateKey::new(KeypairData::from(pair), comment)?;
    let public = format!("{}\n", key.public_key().to_openssh()?);
    Ok(KeyPair { private: key.to_openssh(LineEnding::LF)?.to_string(), public })
}

/// Returns the fingerprint of a public key in OpenSSH's form, as OpenSSH shows it: `SHA256:...`.
pub fn fingerprint(public: &str) -> Option<String> {
    let key = PublicKey::from_openssh(public.trim()).ok()?;
    Some(key.fingerprint(HashAlg::Sha256).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_differ_and_belong_together() {
        let (one, two) = (generate("a").unwrap(), generate("b").unwrap());
        assert_ne!(one.public, two.public);
        assert!(one.public.starts_with("ssh-ed25519 AAAA") && one.public.ends_with(" a\n"), "{}", one.public);
        let read = PrivateKey::from_openssh(&one.private).unwrap();
        assert_eq!(format!("{}\n", read.public_key().to_openssh().unwrap()), one.public);
    }
}

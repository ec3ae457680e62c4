//! The public key by which a server is recognised.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PublicKey};

use crate::diagnostic::{Diagnostic, Kind};

/// The algorithms of host keys, best first. RSA only with SHA-2.
const ALGORITHMS: &[Algorithm] = &[
    Algorithm::Ed25519,
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
    Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
    Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
];

/// A server's public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostKey(PublicKey);

/// A text that is not a host key.
#[derive(Debug, thiserror::Error)]
#[error("`{given}` is not a host key: {reason}")]
pub struct HostKeyError {
    given: String,
    reason: String,
}

impl Diagnostic for HostKeyError {
    fn kind(&self) -> Kind {
        Kind::Usage
    }

    fn hints(&self) -> Vec<String> {
        vec![
            "it is one line of the machine's `/etc/ssh/ssh_host_*_key.pub`, in quotes: `--host-key 'ssh-ed25519 AAAA...'`"
                .to_owned(),
        ]
    }
}

impl HostKey {
    /// Takes a key that a server has shown; its comment is nobody's business.
    pub(super) fn new(key: &PublicKey) -> Self {
        Self(PublicKey::new(key.key_data().clone(), ""))
    }

    /// Tells whether a server has shown this very key.
    pub(super) fn is(&self, shown: &PublicKey) -> bool {
        self.0.key_data() == shown.key_data()
    }

    /// Returns the algorithms to ask a server for: only those of this key, so that a server that has another one cannot
    /// pass as unknown.
    pub(super) fn algorithms(&self) -> Cow<'static, [Algorithm]> {
        match self.0.algorithm() {
            Algorithm::Ed25519 => Cow::Borrowed(&[Algorithm::Ed25519]),
            Algorithm::Rsa { .. } => ALGORITHMS.iter().filter(|one| is_rsa(one)).cloned().collect(),
            other => Cow::Owned(vec![other]),
        }
    }

    /// Returns all algorithms that a host key may have, best first.
    pub(super) fn any_algorithm() -> Cow<'static, [Algorithm]> {
        Cow::Borrowed(ALGORITHMS)
    }

    /// Returns the fingerprint as OpenSSH shows it: `SHA256:...`.
    pub fn fingerprint(&self) -> String {
        self.0.fingerprint(HashAlg::Sha256).to_string()
    }

    /// Returns the name of the algorithm, such as `ssh-ed25519`.
    pub fn algorithm(&self) -> String {
        self.0.algorithm().to_string()
    }
}

/// A host key of RSA goes with any hash.
const fn is_rsa(algorithm: &Algorithm) -> bool {
    matches!(algorithm, Algorithm::Rsa { .. })
}

impl FromStr for HostKey {
    type Err = HostKeyError;

    fn from_str(text: &str) -> Result<Self, HostKeyError> {
        let bad = |reason: String| HostKeyError { given: text.escape_debug().to_string(), reason };
        let key = PublicKey::from_openssh(text.trim()).map_err(|error| bad(error.to_string()))?;
        let known = |one: &Algorithm| *one == key.algorithm() || (is_rsa(one) && key.algorithm().is_rsa());
        if !ALGORITHMS.iter().any(known) {
            return Err(bad(format!("`{}` is not supported", key.algorithm())));
        }
        Ok(Self::new(&key))
    }
}

/// As OpenSSH writes it, without a comment: `ssh-ed25519 AAAA...`.
impl fmt::Display for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.to_openssh().map_err(|_| fmt::Error)?.trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_is_written() {
        let made = crate::ssh::keys::generate("someone@somewhere").unwrap().public;
        let key: HostKey = made.parse().unwrap();
        assert_eq!(key.to_string().parse::<HostKey>().unwrap(), key);
        assert!(made.starts_with(&format!("{key} ")), "{key}");
        assert!(key.fingerprint().starts_with("SHA256:"), "{}", key.fingerprint());
        assert_eq!(key.algorithms().as_ref(), [Algorithm::Ed25519]);
        for bad in ["", "ssh-ed25519", "ssh-ed25519 AAAA", "box ssh-ed25519 AAAA", "SHA256:abc"] {
            assert!(bad.parse::<HostKey>().is_err(), "{bad:?} was accepted");
        }
    }
}

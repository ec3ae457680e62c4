//! Whom to connect to, and as whom. Two connections to equal targets are interchangeable: they have shown the same key
//! and logged in the same way.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::vm::endpoint::Endpoint;

/// A login on one server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Target {
    /// Where the server listens.
    pub endpoint: Endpoint,
    /// The login name.
    pub user: String,
    /// What to log in with.
    pub login: Login,
    /// The server's public key, as OpenSSH writes it: `ssh-ed25519 AAAA...`.
    pub host_key: String,
    /// Whether connections are accepted there before the server is up, as QEMU does for its guest.
    pub accepts_early: bool,
}

/// What to log in with. Files are absolute paths; an agent is the path of its socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Login {
    /// The private key in a file, and no other.
    Key {
        /// The file.
        file: PathBuf,
        /// The agent that signs for it when the file is encrypted.
        agent: Option<PathBuf>,
    },
    /// Whatever the user has: the keys of the agent first, then those in files.
    Any {
        /// The agent.
        agent: Option<PathBuf>,
        /// The files, in order, as far as they exist.
        files: Vec<PathBuf>,
    },
}

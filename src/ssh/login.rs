//! Logging in: with the one key of a target, or with what the user has.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use russh::client::{AuthResult, Handle};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{Algorithm, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey, decode_secret_key};
use russh::{Error, MethodKind};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::host::files;
use crate::ssh::error::ConnectError;
use crate::ssh::pinned::Pinned;
use crate::ssh::target::{Login, Target};

/// The largest key file that is read, in bytes.
const MAX_KEY: u64 = 16 * 1024;

/// How long an agent may take to say which keys it has.
const AGENT: Duration = Duration::from_secs(2);

/// What is going to be tried, in order.
pub(super) struct Keys {
    offers: Vec<Offer>,
    agent: Option<Agent>,
    /// What is not going to be tried, and why.
    unused: Vec<String>,
}

enum Offer {
    /// A key that we have.
    Ours(Arc<PrivateKey>),
    /// One that only the agent has.
    Agents(Box<AgentIdentity>),
}

type Agent = AgentClient<UnixStream>;

/// A private key in a file.
enum KeyFile {
    Open(Arc<PrivateKey>),
    /// It is encrypted; which key it is may be known all the same.
    Locked(Option<PublicKey>),
}

impl Keys {
    /// Finds out what there is to log in with. Nothing is said to any server.
    pub async fn of(target: &Target) -> Result<Self, ConnectError> {
        match &target.login {
            Login::Key { file, agent } => Self::only(file, agent.as_deref()).await,
            Login::Any { agent, files } => {
                let keys = Self::any(agent.as_deref(), files).await;
                if keys.offers.is_empty() {
                    return Err(ConnectError::NoKey {
                        address: target.endpoint.clone(),
                        unused: keys.unused,
                    });
                }
                Ok(keys)
            }
        }
    }

    async fn only(file: &Path, agent: Option<&Path>) -> Result<Self, ConnectError> {
        let key = match read(file)? {
            KeyFile::Open(key) => {
                let offers = vec![Offer::Ours(key)];
                return Ok(Self { offers, agent: None, unused: Vec::new() });
            }
            KeyFile::Locked(key) => key,
        };
        let locked = || ConnectError::Locked { path: file.to_owned() };
        let (agent, has) = ask(agent.ok_or_else(locked)?).await.map_err(|_| locked())?;
        let it = has.into_iter().find(|one| key.as_ref().is_some_and(|key| is_key(one, key)));
        let offers = vec![Offer::Agents(Box::new(it.ok_or_else(locked)?))];
        Ok(Self { offers, agent: Some(agent), unused: Vec::new() })
    }

    async fn any(agent: Option<&Path>, files: &[PathBuf]) -> Self {
        let mut unused = Vec::new();
        let (agent, has) = match agent {
            None => (None, Vec::new()),
            Some(path) => match ask(path).await {
                Ok((agent, has)) => (Some(agent), has),
                Err(reason) => {
                    unused.push(format!("the agent on `{}`: {reason}", path.display()));
                    (None, Vec::new())
                }
            },
        };
        let mut ours = Vec::new();
        for file in files.iter().filter(|file| file.exists()) {
            let offered = |key: &PublicKey| has.iter().any(|one| is_key(one, key));
            match read(file) {
                Ok(KeyFile::Open(key)) if offered(key.public_key()) => {}
                Ok(KeyFile::Open(key)) => ours.push(Offer::Ours(key)),
                Ok(KeyFile::Locked(Some(key))) if offered(&key) => {}
                Ok(KeyFile::Locked(_)) => {
                    unused.push(format!("`{}` is encrypted, and no agent has it", file.display()));
                }
                Err(error) => unused.push(error.to_string()),
            }
        }
        Self {
            offers: has.into_iter().map(|one| Offer::Agents(Box::new(one))).chain(ours).collect(),
            agent,
            unused,
        }
    }

    /// Logs in with the first key that the server takes.
    pub async fn log_in(mut self, handle: &mut Handle<Pinned>, target: &Target) -> Result<(), ConnectError> {
        let broken = |source| ConnectError::Broken { address: target.endpoint.clone(), source };
        for offer in std::mem::take(&mut self.offers) {
            match self.try_one(handle, &target.user, offer).await.map_err(broken)? {
                Some(AuthResult::Success) => return Ok(()),
                Some(AuthResult::Failure { remaining_methods, .. }) => {
                    // russh tells the end of the connection as a failure too.
                    if remaining_methods.is_empty() && handle.is_closed() {
                        return Err(broken(Error::Disconnect));
                    }
                    if !remaining_methods.contains(&MethodKind::PublicKey) {
                        break;
                    }
                }
                None => {}
            }
        }
        let (address, user) = (target.endpoint.clone(), target.user.clone());
        Err(ConnectError::Refused { address, user, unused: self.unused })
    }

    /// Offers one key; `None` when the agent does not sign with it.
    async fn try_one(
        &mut self,
        handle: &mut Handle<Pinned>,
        user: &str,
        offer: Offer,
    ) -> Result<Option<AuthResult>, Error> {
        let identity = match offer {
            Offer::Ours(key) => {
                let hash = hash_for(handle, key.algorithm()).await?;
                let key = PrivateKeyWithHashAlg::new(key, hash);
                return handle.authenticate_publickey(user, key).await.map(Some);
            }
            Offer::Agents(identity) => *identity,
        };
        let Some(agent) = &mut self.agent else { return Ok(None) };
        let hash = hash_for(handle, identity.public_key().algorithm()).await?;
        let comment = identity.comment().escape_debug().to_string();
        let answer = match identity {
            AgentIdentity::PublicKey { key, .. } => {
                handle.authenticate_publickey_with(user, key, hash, agent).await
            }
            AgentIdentity::Certificate { certificate, .. } => {
                handle.authenticate_certificate_with(user, certificate, hash, agent).await
            }
        };
        Ok(answer.inspect_err(|error| self.unused.push(format!("the agent's `{comment}`: {error}"))).ok())
    }
}

/// Returns the hash for signatures of a key: RSA has a choice, of which the server tells what it takes.
async fn hash_for(handle: &Handle<Pinned>, algorithm: Algorithm) -> Result<Option<HashAlg>, Error> {
    if !algorithm.is_rsa() {
        return Ok(None);
    }
    // A server that does not tell has been taking SHA-2 for a decade; SHA-1 is never used.
    Ok(Some(handle.best_supported_rsa_hash().await?.flatten().unwrap_or(HashAlg::Sha512)))
}

/// Reads a private key, in any of the forms that `ssh-keygen` writes.
fn read(path: &Path) -> Result<KeyFile, ConnectError> {
    let text = String::from_utf8_lossy(&files::read_bounded(path, MAX_KEY)?).into_owned();
    match PrivateKey::from_openssh(&text) {
        Ok(key) if key.is_encrypted() => return Ok(KeyFile::Locked(Some(key.public_key().clone()))),
        Ok(key) => return Ok(KeyFile::Open(Arc::new(key))),
        Err(_) => {}
    }
    match decode_secret_key(&text, None) {
        Ok(key) => Ok(KeyFile::Open(Arc::new(key))),
        Err(russh::keys::Error::KeyIsEncrypted) => Ok(KeyFile::Locked(public_half(path))),
        Err(error) => Err(ConnectError::Key { path: path.to_owned(), reason: error.to_string() }),
    }
}

/// Reads the public key beside a private one.
fn public_half(path: &Path) -> Option<PublicKey> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".pub");
    let text = files::read_bounded(Path::new(&beside), MAX_KEY).ok()?;
    PublicKey::from_openssh(std::str::from_utf8(&text).ok()?).ok()
}

/// Asks an agent which keys it has.
async fn ask(socket: &Path) -> Result<(Agent, Vec<AgentIdentity>), String> {
    let asked = async {
        let mut agent = AgentClient::connect_uds(socket).await?;
        let has = agent.request_identities().await?;
        Ok::<_, russh::keys::Error>((agent, has))
    };
    match timeout(AGENT, asked).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err("it does not answer".to_owned()),
    }
}

fn is_key(identity: &AgentIdentity, key: &PublicKey) -> bool {
    identity.public_key().key_data() == key.key_data()
}

//! Asks a server for its key, once, before there is one to compare it with. Nothing else is said to it.

use std::time::Duration;

use russh::Error;
use russh::client::Handler;
use russh::keys::PublicKeyOrCertificate;
use tokio::time::{Instant, timeout_at};

use crate::ssh::connect::reach_once;
use crate::ssh::error::ConnectError;
use crate::ssh::host_key::HostKey;
use crate::ssh::pinned;
use crate::ssh::stream::Stream;
use crate::vm::endpoint::Endpoint;

/// How long a server may take for its first byte.
const PATIENCE: Duration = Duration::from_secs(10);

/// Takes note of the key and ends the connection.
struct Scan;

#[derive(Debug)]
enum Shown {
    Key(HostKey),
    Nothing(Error),
}

impl From<Error> for Shown {
    fn from(error: Error) -> Self {
        Self::Nothing(error)
    }
}

impl Handler for Scan {
    type Error = Shown;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Shown> {
        match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } => Err(Shown::Key(HostKey::new(key))),
            PublicKeyOrCertificate::Certificate(_) => Ok(false),
        }
    }
}

/// Returns the key that a server shows, and has proved to own: its best one. Whose server it is, is for somebody else to
/// say.
pub async fn host_key(address: &Endpoint, deadline: Instant) -> Result<HostKey, ConnectError> {
    let stream = reach_once(address, deadline.min(Instant::now() + PATIENCE)).await?;
    let asked = async {
        let stream = Stream::new(stream, pinned::SILENCE);
        match russh::client::connect_stream(pinned::config(HostKey::any_algorithm()), stream, Scan).await {
            Err(Shown::Key(key)) => Ok(key),
            Err(Shown::Nothing(source)) => Err(ConnectError::Broken { address: address.clone(), source }),
            Ok(_) => Err(ConnectError::Broken { address: address.clone(), source: Error::Inconsistent }),
        }
    };
    timeout_at(deadline, asked)
        .await
        .unwrap_or_else(|_| Err(ConnectError::Timeout { address: address.clone() }))
}

//! What is asked of a server: its pinned key, and nothing else that it may want of us.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use russh::client::{ChannelOpenHandle, Config, Handler, Msg, Session};
use russh::keys::{Algorithm, PublicKeyOrCertificate};
use russh::{AlgorithmKind, Channel, Error, Preferred, cipher, compression, kex};
use tokio::sync::mpsc;

use crate::ssh::error::ConnectError;
use crate::ssh::host_key::HostKey;
use crate::vm::endpoint::Endpoint;

/// A connection on which nothing comes for this long is asked for a sign of life; with the next request after this many
/// that went unanswered it is given up.
const KEEPALIVE: Duration = Duration::from_secs(14);
const UNANSWERED: usize = 3;

/// How long a server can be silent, or take nothing, before the connection is given up: less than a minute.
pub(super) const SILENCE: Duration = KEEPALIVE.saturating_mul(UNANSWERED as u32 + 1);

/// Accepts one server key and no other, and no channel that the server opens, unless it was asked to listen for us:
/// everything else goes from here to there.
pub(super) struct Pinned {
    key: HostKey,
    arrivals: Option<mpsc::Sender<Arrival>>,
}

/// A connection that has arrived where the server listens for us. Dropped, it is refused.
pub(super) struct Arrival {
    /// What carries it, once it is accepted.
    pub channel: Channel<Msg>,
    /// How it is accepted or refused.
    pub reply: ChannelOpenHandle,
}

/// Why the connection ended, as the handler tells it.
#[derive(Debug)]
pub(super) enum HandlerError {
    WrongServer,
    Ssh(Error),
}

impl From<Error> for HandlerError {
    fn from(error: Error) -> Self {
        Self::Ssh(error)
    }
}

impl HandlerError {
    /// Returns what is told about it. A server that has no key of the pinned one's kind is another server.
    pub fn explain(self, address: Endpoint) -> ConnectError {
        match self {
            Self::WrongServer | Self::Ssh(Error::NoCommonAlgo { kind: AlgorithmKind::Key, .. }) => {
                ConnectError::WrongServer { address }
            }
            Self::Ssh(source) => ConnectError::Broken { address, source },
        }
    }
}

impl Pinned {
    /// Accepts this key.
    pub fn to(key: HostKey) -> Self {
        Self { key, arrivals: None }
    }

    /// Passes on what arrives where the server listens for us. Nothing that it says about where that was is believed:
    /// a connection is asked for one listener only.
    pub fn passing_on(self, arrivals: mpsc::Sender<Arrival>) -> Self {
        Self { arrivals: Some(arrivals), ..self }
    }

    fn arrive(&self, channel: Channel<Msg>, reply: ChannelOpenHandle) {
        if let Some(arrivals) = &self.arrivals {
            // Where too many wait already this one is refused.
            let _ = arrivals.try_send(Arrival { channel, reply });
        }
    }

    /// Returns the settings for a connection to the owner of the key.
    pub fn config(&self) -> Arc<Config> {
        config(self.key.algorithms())
    }
}

/// Returns the settings for a connection. The key exchange that comes first is the one that costs a guest least under
/// emulation; the others are for servers that are kept to NIST's curves.
pub(super) fn config(keys: Cow<'static, [Algorithm]>) -> Arc<Config> {
    Arc::new(Config {
        preferred: Preferred {
            kex: Cow::Borrowed(&[
                kex::CURVE25519,
                kex::CURVE25519_PRE_RFC_8731,
                kex::ECDH_SHA2_NISTP256,
                kex::ECDH_SHA2_NISTP384,
                kex::ECDH_SHA2_NISTP521,
                kex::EXTENSION_SUPPORT_AS_CLIENT,
                kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
            ]),
            key: keys,
            cipher: Cow::Borrowed(&[cipher::AES_256_GCM, cipher::CHACHA20_POLY1305]),
            compression: Cow::Borrowed(&[compression::NONE]),
            ..Preferred::default()
        },
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: UNANSWERED,
        nodelay: true,
        ..Config::default()
    })
}

/// Writes handler functions that refuse a channel, which russh does when the reply is dropped. By default it accepts.
macro_rules! refuse {
    ($($function:ident ( $($what:ty),* );)*) => {
        $(async fn $function(
            &mut self,
            _: Channel<Msg>,
            $(_: $what,)*
            reply: ChannelOpenHandle,
            _: &mut Session,
        ) -> Result<(), HandlerError> {
            drop(reply);
            Ok(())
        })*
    };
}

impl Handler for Pinned {
    type Error = HandlerError;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, HandlerError> {
        match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } if self.key.is(key) => Ok(true),
            _ => Err(HandlerError::WrongServer),
        }
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        channel: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), HandlerError> {
        self.arrive(channel, reply);
        Ok(())
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        channel: Channel<Msg>,
        _: &str,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), HandlerError> {
        self.arrive(channel, reply);
        Ok(())
    }

    refuse! {
        server_channel_open_session();
        server_channel_open_x11(&str, u32);
        server_channel_open_agent_forward();
        server_channel_open_direct_tcpip(&str, u32, &str, u32);
        server_channel_open_direct_streamlocal(&str);
    }
}

//! A guest as what logins are exchanged with: one script by the connection that is there, its answer read strictly and
//! within bounds.

use std::ffi::OsString;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::claude::account::Account;
use crate::claude::credentials::MAX_BYTES;
use crate::claude::login::error::LoginError;
use crate::claude::login::peer::{Peer, Place, Seen, Which, Written, sum};
use crate::lifecycle::Engine;
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::event::Listener;
use crate::lifecycle::reach::{self, Route};
use crate::ssh::command::RemoteCommand;
use crate::ssh::program::{Program, Sink, Streams};
use crate::ssh::session::SessionError;
use crate::vm::name::VmName;

const SCRIPT: &str = include_str!("remote.sh");

/// The longest answer, in bytes: a file that is too large, an account and a token, all in base64.
const MAX_ANSWER: usize = (MAX_BYTES + 3 * 4096) / 3 * 4 + 1024;

/// How much of what it says on stderr is kept, in bytes.
const MAX_SAID: usize = 2048;

/// A guest.
pub struct Guest<'a> {
    /// What works on VMs.
    pub engine: &'a Engine,
    /// The VM.
    pub name: &'a VmName,
    /// How it is reached, and how long each request may take in all.
    pub route: Route,
    /// Is told what happens.
    pub listener: &'a Listener,
}

/// What a script came to.
struct Ran {
    code: u8,
    out: Vec<u8>,
    said: String,
}

impl Peer for Guest<'_> {
    async fn read(&mut self) -> Result<Seen, LoginError> {
        let ran = self.run(&["read"], Bytes::new()).await?;
        self.done(&ran)?;
        self.understand(&ran.out)
    }

    async fn write(&mut self, which: Which, expected: &str, content: &[u8]) -> Result<Written, LoginError> {
        let which = match which {
            Which::Login => "login",
            Which::Token => "token",
        };
        let args = ["write", which, expected, &sum(content)];
        let ran = self.run(&args, Bytes::copy_from_slice(content)).await?;
        if ran.code == 83 {
            return Ok(Written::Changed);
        }
        self.done(&ran).map(|()| Written::Done)
    }

    async fn wipe(&mut self, login: bool) -> Result<(), LoginError> {
        let ran = self.run(&["wipe", if login { "login" } else { "token" }], Bytes::new()).await?;
        self.done(&ran)
    }
}

impl Guest<'_> {
    async fn run(&self, args: &[&str], input: Bytes) -> Result<Ran, LoginError> {
        let argv = ["sh", "-c", SCRIPT, "ai-vm-login"].iter().chain(args).map(OsString::from).collect();
        let command = RemoteCommand { argv, ..RemoteCommand::default() };
        let encoded = command.encode().map_err(|error| LifecycleError::from(SessionError::from(error)))?;
        let (out, said) = (Kept::up_to(MAX_ANSWER), Kept::up_to(MAX_SAID));
        let work = async {
            let program = Program::Command(encoded);
            let running =
                reach::start(self.engine, self.name, self.route, &program, None, self.listener).await?;
            let (feed, stdin) = mpsc::channel(1);
            if !input.is_empty() {
                // There is room for one.
                let _ = feed.try_send(input);
            }
            drop(feed);
            let (_no_control, control) = mpsc::channel(1);
            let streams = Streams { stdin, stdout: out.clone(), stderr: said.clone() };
            running.pump(streams, control).await.map_err(LifecycleError::from)
        };
        let code = match timeout(self.route.limit, work).await {
            Ok(ended) => ended?,
            Err(_) => {
                let seconds = self.route.limit.as_secs();
                return Err(LoginError::NoAnswer { name: self.name.clone(), seconds });
            }
        };
        Ok(Ran { code, out: out.take(), said: String::from_utf8_lossy(&said.take()).trim_end().to_owned() })
    }

    /// Says what the exit code of the script means.
    fn done(&self, ran: &Ran) -> Result<(), LoginError> {
        let what = match ran.code {
            0 => return Ok(()),
            80 => "whoever logs in has no home directory",
            81 => "there is no place for it in the home directory",
            82 => "it cannot be written",
            84 => "not all of it arrived",
            85 => "there is no file in its place, or one that cannot be read",
            86 => "it has no `base64`, `head`, `tr`, `cut`, `mktemp` or `sha256sum`",
            87 => "it cannot be removed",
            141 if ran.out.len() == MAX_ANSWER => {
                return Err(self.not_understood("it does not come to an end"));
            }
            _ => "the script there failed",
        };
        let said = if ran.said.is_empty() { format!("exit code {}", ran.code) } else { ran.said.clone() };
        Err(LoginError::Unable { name: self.name.clone(), what, said })
    }

    fn understand(&self, answer: &[u8]) -> Result<Seen, LoginError> {
        understand(answer).map_err(|what| self.not_understood(what))
    }

    fn not_understood(&self, what: &'static str) -> LoginError {
        LoginError::NotUnderstood { name: self.name.clone(), what }
    }
}

/// Reads an answer: lines of a word and a value, each at most once, `end` at last and nothing after that.
fn understand(answer: &[u8]) -> Result<Seen, &'static str> {
    let text = std::str::from_utf8(answer).map_err(|_| "it is not plain text")?;
    let body = text.strip_suffix("\nend\n").ok_or("it is not complete")?;
    let (mut kind, mut content, mut account, mut token) = (None, None, None, None);
    for line in body.lines() {
        let (word, value) = line.split_once(' ').ok_or("it has other lines than it should")?;
        let slot = match word {
            "login" => &mut kind,
            "content" => &mut content,
            "account" => &mut account,
            "token" => &mut token,
            _ => return Err("it has other lines than it should"),
        };
        if slot.replace(value).is_some() {
            return Err("it says the same twice");
        }
    }
    let decode = |value: &str| STANDARD.decode(value).map_err(|_| "it is not base64");
    let login = match (kind, content) {
        (Some("none"), None) => Place::Empty,
        (Some("file"), Some(content)) => Place::File(decode(content)?),
        (Some("link"), None) => Place::Other("a link"),
        (Some("other"), None) => Place::Other("something else"),
        _ => return Err("it does not say what there is"),
    };
    let account = account.map(decode).transpose()?.map(|member| Account::of_member(&member));
    let token = token.map(decode).transpose()?;
    Ok(Seen { login, account: account.unwrap_or_default(), token })
}

/// Keeps what is written, up to a length; the writer of more is let go.
#[derive(Clone)]
struct Kept {
    bytes: Arc<Mutex<Vec<u8>>>,
    limit: usize,
}

impl Kept {
    fn up_to(limit: usize) -> Self {
        Self { bytes: Arc::default(), limit }
    }

    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.bytes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Sink for Kept {
    async fn write(&mut self, chunk: Bytes) -> bool {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let room = self.limit.saturating_sub(bytes.len());
        bytes.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
        chunk.len() <= room
    }

    async fn finish(self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn answers() {
        let seen = understand(b"login file\ncontent e30=\naccount \ntoken eA==\nend\n").unwrap();
        let token = Some(b"x".to_vec());
        assert_eq!(seen, Seen { login: Place::File(b"{}".to_vec()), account: Account::default(), token });
        assert_eq!(seen.login.sum(), sum(b"{}"));
        let seen = understand(b"login none\nend\n").unwrap();
        assert_eq!((seen.login.sum().as_str(), seen.token), ("none", None));
        assert_eq!(understand(b"login link\nend\n").unwrap().login, Place::Other("a link"));
        for bad in [
            "",
            "end\n",
            "\nend\n",
            "login none\n",
            "login none\nend",
            "login none\nend\n\n",
            "login none\nlogin none\nend\n",
            "login file\nend\n",
            "login none\ncontent e30=\nend\n",
            "login file\ncontent e30\nend\n",
            "login file\ncontent e3 0=\nend\n",
            "login\nend\n",
            "login none\nmore x\nend\n",
            "login none\n\u{1b}[2J\nend\n",
        ] {
            assert!(understand(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = understand(&bytes);
            let _ = understand(&[b"login file\ncontent ", bytes.as_slice(), b"\nend\n"].concat());
        }
    }
}

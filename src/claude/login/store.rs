//! What ai-vm keeps of logins: the newest of those that are copied, tokens, and which VM was last seen with which.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::claude::account::Account;
use crate::claude::credentials::{Credentials, Millis};
use crate::claude::login::audit::{self, Stage, Way};
use crate::claude::login::error::{LoginError, Refusal};
use crate::claude::login::token::Token;
use crate::host::files::{self, FileError, failed};
use crate::host::layout::{Claude, Layout, VmDir};
use crate::host::lock;
use crate::vm::name::VmName;

/// How long to wait for another process that writes here; each takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// The largest file that is read, in bytes: a login and what is noted of it.
const MAX_FILE: u64 = 128 * 1024;

/// How far ahead a guest may say that its login expires. Eight hours are usual; what is further away than this would never
/// be replaced by a real one.
const FURTHEST: Duration = Duration::from_secs(32 * 24 * 3600);

/// Where a login was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin<'a> {
    /// On this machine, where its user logs in.
    Host,
    /// In a VM.
    Vm(&'a VmName),
}

impl<'a> Origin<'a> {
    const fn way(self) -> Way<'a> {
        match self {
            Self::Host => Way::FromHost,
            Self::Vm(name) => Way::In(name),
        }
    }
}

impl fmt::Display for Origin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("this machine"),
            Self::Vm(name) => f.pad(name.as_str()),
        }
    }
}

/// The newest login.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// The login.
    #[serde(rename = "claudeAiOauth")]
    pub credentials: Credentials,
    /// Whose it is, as far as it is known.
    #[serde(rename = "oauthAccount", default)]
    pub account: Account,
    /// Where it was found.
    pub from: String,
    /// When.
    pub found: Millis,
}

/// What came of a login that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// It is kept from now on.
    Newer,
    /// It is the one that is kept already.
    Same,
    /// The one that is kept is newer.
    Older,
}

/// Which login a VM was last seen with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// By what it is told from others; none where there was none.
    pub fingerprint: Option<String>,
    /// When it expires.
    pub expires: Option<Millis>,
    /// When it was seen.
    pub seen: Option<Millis>,
    /// Why it was neither taken nor overwritten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// When the VM's disk was written last before it was stopped, if its login was fetched before that: in nanoseconds
    /// since 1970, 0 where there is no disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<u64>,
}

/// The store of one data directory.
#[derive(Clone, Debug)]
pub struct Store {
    layout: Layout,
}

impl Store {
    /// Uses a data directory that has been checked.
    pub fn new(layout: &Layout) -> Self {
        Self { layout: layout.clone() }
    }

    /// Returns the newest login, if there is one.
    pub fn held(&self) -> Result<Option<Held>, LoginError> {
        let path = self.layout.claude(Claude::LOGIN);
        let kept = |reason: String| LoginError::Kept { path: path.clone(), reason };
        match files::read_bounded(&path, MAX_FILE) {
            // What serde says of what it finds could tell a part of it.
            Ok(content) => serde_json::from_slice(&content)
                .map(Some)
                .map_err(|error| kept(format!("line {} is not as it was written", error.line()))),
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(kept(error.source.to_string())),
        }
    }

    /// Takes a login if it is newer than the one that is kept, of the same account. `host` is the account of this
    /// machine's own login, as far as it is known.
    pub fn offer(
        &self,
        origin: Origin<'_>,
        login: &Credentials,
        account: &Account,
        host: &Account,
    ) -> Result<Offer, LoginError> {
        let lock = self.lock()?;
        let held = self.held()?;
        let note = |stage| audit::write(&self.layout, &lock, origin.way(), login.fingerprint(), stage);
        let ours = held.as_ref().map_or(host, |held| &held.account);
        if let Err(error) = judge(origin, login, account, [ours, host]) {
            note(Stage::Refused)?;
            return Err(error);
        }
        let offer = match &held {
            Some(held) if held.credentials.fingerprint() == login.fingerprint() => Offer::Same,
            Some(held) if !login.is_newer_than(&held.credentials) => Offer::Older,
            _ if login.has_ended(Millis::now()) => Offer::Older,
            _ => Offer::Newer,
        };
        // Only this machine's word says whose login is kept, as long as there is one.
        let account = match (origin, &held) {
            (Origin::Host, _) if account.is_known() => account,
            (Origin::Vm(_), None) if !host.is_known() => account,
            _ => ours,
        };
        let learns = held.as_ref().is_some_and(|held| held.account != *account);
        if offer == Offer::Newer {
            note(Stage::Begun)?;
            let (credentials, account) = (login.clone(), account.clone());
            self.keep(&Held { credentials, account, from: origin.to_string(), found: Millis::now() })?;
            note(Stage::Done)?;
        } else if let Some(held) = held.as_ref().filter(|_| learns && offer == Offer::Same) {
            self.keep(&Held { account: account.clone(), ..held.clone() })?;
        }
        Ok(offer)
    }

    /// Forgets the login that is kept; tells whether there was one.
    pub fn forget(&self) -> Result<bool, LoginError> {
        let lock = self.lock()?;
        let path = self.layout.claude(Claude::LOGIN);
        if !path.exists() {
            return Ok(false);
        }
        let note = |stage| audit::write(&self.layout, &lock, Way::Forgotten, "-", stage);
        note(Stage::Begun)?;
        files::remove_if_there(&path)?;
        note(Stage::Done)?;
        Ok(true)
    }

    /// Returns the token of a VM: its own, else the one of all that have none.
    pub fn token(&self, name: &VmName) -> Result<Option<Token>, LoginError> {
        match Token::kept(&self.own_token(name))? {
            Some(own) => Ok(Some(own)),
            None => self.default_token(),
        }
    }

    /// Returns the token of VMs that have none of their own.
    pub fn default_token(&self) -> Result<Option<Token>, LoginError> {
        Ok(Token::kept(&self.layout.claude(Claude::TOKEN))?)
    }

    /// Keeps a token for a VM, or for all that have none of their own.
    pub fn keep_token(&self, name: Option<&VmName>, token: &Token) -> Result<(), LoginError> {
        let _lock = self.lock()?;
        let path = name.map_or_else(|| self.layout.claude(Claude::TOKEN), |name| self.own_token(name));
        Ok(files::replace(&path, &token.line())?)
    }

    /// Forgets the token of a VM, or the one of all that have none of their own.
    pub fn forget_token(&self, name: Option<&VmName>) -> Result<(), LoginError> {
        let path = name.map_or_else(|| self.layout.claude(Claude::TOKEN), |name| self.own_token(name));
        Ok(files::remove_if_there(&path)?)
    }

    /// Returns the file with the token of a VM, its own or the one of all that have none, or with the latter.
    pub fn token_file(&self, name: Option<&VmName>) -> PathBuf {
        let own = name.map(|name| self.own_token(name)).filter(|own| own.exists());
        own.unwrap_or_else(|| self.layout.claude(Claude::TOKEN))
    }

    fn own_token(&self, name: &VmName) -> PathBuf {
        self.layout.vm(name).file(VmDir::CLAUDE_TOKEN)
    }

    /// Returns which login a VM was last seen with. What cannot be read is not known.
    pub fn known(&self, name: &VmName) -> Known {
        let path = self.layout.vm(name).file(VmDir::CLAUDE_LOGIN);
        let content = files::read_bounded(&path, MAX_FILE).unwrap_or_default();
        serde_json::from_slice(&content).unwrap_or_default()
    }

    /// Notes which login a VM was seen with. A VM that has gone meanwhile needs no note.
    pub fn seen(
        &self,
        name: &VmName,
        login: Option<&Credentials>,
        problem: Option<&Refusal>,
    ) -> Result<(), LoginError> {
        self.write_known(
            name,
            &Known {
                fingerprint: login.map(|login| login.fingerprint().to_owned()),
                expires: login.map(Credentials::expires),
                seen: Some(Millis::now()),
                problem: problem.map(ToString::to_string),
                settled: None,
            },
        )
    }

    /// Notes that a VM was stopped after its login had been fetched, so that nothing is lost with its disk.
    pub fn settle(&self, name: &VmName) -> Result<(), LoginError> {
        let known = self.known(name);
        self.write_known(name, &Known { settled: Some(self.disk_time(name)), ..known })
    }

    /// Tells whether the login in a VM that is stopped may be newer than any other: it had the newest one, it ran after
    /// that was fetched, and what it had has had to be renewed since.
    pub fn may_be_newest(&self, name: &VmName, now: Millis) -> bool {
        let known = self.known(name);
        let (Some(fingerprint), Some(expires)) = (&known.fingerprint, known.expires) else { return false };
        let is_settled = known.settled == Some(self.disk_time(name));
        let newest = match self.held() {
            Ok(Some(held)) => {
                held.credentials.fingerprint() == fingerprint || held.credentials.expires() < expires
            }
            _ => true,
        };
        !is_settled && newest && expires.is_due(now)
    }

    fn disk_time(&self, name: &VmName) -> u64 {
        let disk = std::fs::metadata(self.layout.vm(name).file(VmDir::DISK));
        let time = |disk: std::fs::Metadata| u64::try_from(disk.mtime() * 1_000_000_000 + disk.mtime_nsec());
        disk.ok().and_then(|disk| time(disk).ok()).unwrap_or_default()
    }

    fn write_known(&self, name: &VmName, known: &Known) -> Result<(), LoginError> {
        let _lock = self.lock()?;
        let dir = self.layout.vm(name);
        if !dir.path().exists() {
            return Ok(());
        }
        let path = dir.file(VmDir::CLAUDE_LOGIN);
        let content = serde_json::to_vec(known).map_err(|error| failed("write", &path)(error.into()))?;
        Ok(files::replace(&path, &content)?)
    }

    /// Notes how far a login has come on its way: before it goes, and when it is known what came of it.
    pub fn note(&self, way: Way<'_>, fingerprint: &str, stage: Stage) -> Result<(), LoginError> {
        let lock = self.lock()?;
        Ok(audit::write(&self.layout, &lock, way, fingerprint, stage)?)
    }

    fn keep(&self, held: &Held) -> Result<(), LoginError> {
        let path = self.layout.claude(Claude::LOGIN);
        let content = serde_json::to_vec(held).map_err(|error| failed("write", &path)(error.into()))?;
        Ok(files::replace(&path, &content)?)
    }

    fn lock(&self) -> Result<File, LoginError> {
        self.dir()?;
        Ok(lock::exclusive(&self.layout.claude(Claude::LOCK), PATIENCE)?)
    }

    fn dir(&self) -> Result<(), FileError> {
        let lock = self.layout.claude(Claude::LOCK);
        files::create_private_dir(lock.parent().unwrap_or(self.layout.root()))
    }
}

/// Decides whether a login may be taken, whichever is newer.
fn judge(
    origin: Origin<'_>,
    login: &Credentials,
    account: &Account,
    ours: [&Account; 2],
) -> Result<(), LoginError> {
    let other = ours.into_iter().find(|ours| account.differs_from(ours));
    match (origin, other) {
        (Origin::Host, Some(kept)) => Err(LoginError::OtherAccountHere {
            host: Box::new(account.clone()),
            kept: Box::new(kept.clone()),
        }),
        (Origin::Host, None) => Ok(()),
        (Origin::Vm(name), other) => {
            let reason = match other {
                Some(ours) => {
                    Refusal::OtherAccount { theirs: Box::new(account.clone()), ours: Box::new(ours.clone()) }
                }
                None if login.expires() > Millis::now().plus(FURTHEST) => {
                    Refusal::Implausible { expires: login.expires() }
                }
                None => return Ok(()),
            };
            Err(LoginError::Refused { name: name.clone(), reason })
        }
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;

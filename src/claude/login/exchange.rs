//! The exchange of logins with one VM: what is newer goes to where something older is, and nothing is overwritten that was
//! not looked at.

use crate::claude::account::Account;
use crate::claude::credentials::{Credentials, MAX_BYTES, Malformed, Millis};
use crate::claude::login::audit::{Stage, Way};
use crate::claude::login::error::{LoginError, Refusal};
use crate::claude::login::host::{self, HostProblem, Updated};
use crate::claude::login::peer::{Others, Peer, Place, Seen, Which, Written};
use crate::claude::login::store::{Held, Offer, Origin, Store};
use crate::host::env::ClaudeFiles;
use crate::vm::name::VmName;

/// How often something that changes while it is looked at is looked at again.
const TRIES: usize = 5;

/// What was found in a VM when its login was fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pulled {
    /// No login.
    Nothing,
    /// One that is newer than the one that was kept.
    Newer,
    /// The one that is kept.
    Same,
    /// An older one.
    Older,
}

/// What came of giving a VM a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It has it now.
    Given,
    /// It had it already.
    Had,
    /// It had a newer one, which is kept from now on.
    Newer,
}

/// The exchange with one VM.
#[derive(Debug)]
pub struct Exchange<'a> {
    /// What is kept.
    pub store: &'a Store,
    /// This machine's own login.
    pub host: Option<&'a ClaudeFiles>,
    /// The VM.
    pub name: &'a VmName,
}

impl Exchange<'_> {
    /// Fetches the login of the VM, and keeps it if it is the newest.
    pub async fn pull(&self, peer: &mut impl Peer) -> Result<Pulled, LoginError> {
        let seen = peer.read().await?;
        self.take(&seen)
    }

    /// Gives the VM the newest login there is, which may be its own. What is not understood there is not overwritten. The
    /// others are asked for theirs where the newest may be one that they have renewed unseen: it would be worthless.
    pub async fn push(&self, peer: &mut impl Peer, others: &mut impl Others) -> Result<Pushed, LoginError> {
        let (mut came, mut asked) = (Pushed::Had, false);
        for _ in 0..TRIES {
            let from_host = seed(self.store, self.host)?;
            let seen = peer.read().await?;
            if seen.token.is_some() {
                // It would be used in place of the login.
                self.store.note(Way::Wiped(self.name), "token", Stage::Begun)?;
                peer.wipe(false).await?;
                self.store.note(Way::Wiped(self.name), "token", Stage::Done)?;
            }
            let pulled = self.take(&seen)?;
            if matches!(pulled, Pulled::Nothing | Pulled::Older) && !asked && self.may_be_renewed()? {
                asked = true;
                others.fetch().await;
            }
            let held = self.newest(from_host)?;
            match pulled {
                Pulled::Newer => return Ok(Pushed::Newer),
                Pulled::Same => return Ok(came),
                Pulled::Nothing | Pulled::Older => {}
            }
            let there = match &seen.login {
                Place::File(content) => Some(content.as_slice()),
                Place::Empty | Place::Other(_) => None,
            };
            let content = held.credentials.put_into(there).map_err(|reason| self.refused(reason.into()))?;
            let note = |stage| self.store.note(Way::Out(self.name), held.credentials.fingerprint(), stage);
            note(Stage::Begun)?;
            if peer.write(Which::Login, &seen.login.sum(), &content).await? == Written::Changed {
                note(Stage::NotDone)?;
            } else {
                note(Stage::Done)?;
                self.store.seen(self.name, Some(&held.credentials), None)?;
                // Another look: somebody may have renewed it elsewhere meanwhile.
                if self.is_newest(&held)? {
                    return Ok(Pushed::Given);
                }
                came = Pushed::Given;
            }
        }
        Err(LoginError::Unsteady { name: self.name.clone() })
    }

    /// Gives the VM its token.
    pub async fn push_token(&self, peer: &mut impl Peer) -> Result<Pushed, LoginError> {
        let token =
            self.store.token(self.name)?.ok_or_else(|| LoginError::NoToken { name: self.name.clone() })?;
        if peer.read().await?.token.as_deref() == Some(token.line().as_slice()) {
            return Ok(Pushed::Had);
        }
        let note = |stage| self.store.note(Way::Token(self.name), &token.fingerprint(), stage);
        note(Stage::Begun)?;
        peer.write(Which::Token, "any", &token.line()).await?;
        note(Stage::Done)?;
        Ok(Pushed::Given)
    }

    /// Takes every login out of the VM.
    pub async fn wipe(&self, peer: &mut impl Peer) -> Result<(), LoginError> {
        self.store.note(Way::Wiped(self.name), "-", Stage::Begun)?;
        peer.wipe(true).await?;
        self.store.note(Way::Wiped(self.name), "-", Stage::Done)?;
        self.store.seen(self.name, None, None)
    }

    fn take(&self, seen: &Seen) -> Result<Pulled, LoginError> {
        let found = match &seen.login {
            Place::Empty => Ok(None),
            Place::Other(what) => Err(Refusal::NotAFile { what }),
            Place::File(content) if content.len() > MAX_BYTES => Err(Malformed::TooLarge.into()),
            Place::File(content) if content.trim_ascii().is_empty() => Ok(None),
            Place::File(content) => match Credentials::parse(content) {
                Ok(login) => Ok(Some(login)),
                // Logged out by Claude Code, or never in.
                Err(Malformed::NoLogin) => Ok(None),
                Err(reason) => Err(reason.into()),
            },
        };
        let login = match found {
            Ok(Some(login)) => login,
            Ok(None) => {
                self.store.seen(self.name, None, None)?;
                return Ok(Pulled::Nothing);
            }
            Err(reason) => {
                self.store.seen(self.name, None, Some(&reason))?;
                self.store.note(Way::In(self.name), "-", Stage::Refused)?;
                return Err(self.refused(reason));
            }
        };
        let own = self.host.map(host::account).unwrap_or_default();
        let offered = self.store.offer(Origin::Vm(self.name), &login, &seen.account, &own);
        let problem = match &offered {
            Err(LoginError::Refused { reason, .. }) => Some(reason),
            _ => None,
        };
        self.store.seen(self.name, Some(&login), problem)?;
        Ok(match offered? {
            Offer::Newer => Pulled::Newer,
            Offer::Same => Pulled::Same,
            Offer::Older => Pulled::Older,
        })
    }

    fn refused(&self, reason: Refusal) -> LoginError {
        LoginError::Refused { name: self.name.clone(), reason }
    }

    /// Tells whether the login that is kept is so old that whoever has it has had to renew it, or will soon.
    fn may_be_renewed(&self) -> Result<bool, LoginError> {
        Ok(self.store.held()?.is_some_and(|held| held.credentials.expires().is_due(Millis::now())))
    }

    /// Returns what is to be given; `problem` says why this machine has nothing.
    fn newest(&self, problem: Option<HostProblem>) -> Result<Held, LoginError> {
        let Some(held) = self.store.held()? else {
            return Err(LoginError::NoLogin(problem.unwrap_or(HostProblem::NoHome)));
        };
        match held.credentials.ends() {
            Some(ended) if ended <= Millis::now() => Err(LoginError::Ended { ended }),
            _ => Ok(held),
        }
    }

    fn is_newest(&self, given: &Held) -> Result<bool, LoginError> {
        seed(self.store, self.host)?;
        let held = self.store.held()?;
        Ok(held.is_none_or(|held| held.credentials.fingerprint() == given.credentials.fingerprint()))
    }
}

/// Takes this machine's own login if it is newer than the one that is kept. Returns why there is none, where there is
/// none: then the one that is kept is all there is.
pub fn seed(store: &Store, files: Option<&ClaudeFiles>) -> Result<Option<HostProblem>, LoginError> {
    match host::read(files) {
        Ok(own) => {
            store.offer(Origin::Host, &own.credentials, &own.account, &Account::default())?;
            Ok(None)
        }
        Err(problem) => Ok(Some(problem)),
    }
}

/// Gives this machine's own Claude Code the login that is kept. `None` when it has that already.
pub fn update_host(store: &Store, files: Option<&ClaudeFiles>) -> Result<Option<Updated>, LoginError> {
    let Some(held) = store.held()? else { return Ok(None) };
    let note = |stage| store.note(Way::ToHost, held.credentials.fingerprint(), stage);
    note(Stage::Begun)?;
    let updated = host::update(files, &held.credentials, &held.account)?;
    note(if updated.is_some() { Stage::Done } else { Stage::NotDone })?;
    Ok(updated)
}

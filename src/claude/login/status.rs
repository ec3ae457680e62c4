//! Who has which login, and how each compares with the one that is kept.

use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;

use crate::claude::account::Account;
use crate::claude::credentials::{Credentials, Malformed, Millis};
use crate::claude::login::error::LoginError;
use crate::claude::login::host::{self, HostLogin, HostProblem};
use crate::claude::login::peer::{Place, Seen};
use crate::claude::login::store::{Held, Known, Store};
use crate::claude::login::token::{Token, TokenKind};
use crate::host::env::ClaudeFiles;
use crate::vm::login_mode::LoginMode;
use crate::vm::name::VmName;

/// How long a token of `claude setup-token` is good for, and from when on its end is told.
const TOKEN_LIFE: Duration = Duration::from_secs(365 * 24 * 3600);
const TOKEN_AHEAD: Duration = Duration::from_secs(30 * 24 * 3600);

/// How a login compares with the one that is kept, or a token with the one that is to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It is that one.
    Current,
    /// It is older; Claude Code cannot renew it.
    Older,
    /// It is newer, and has not been taken yet.
    Newer,
    /// There is one, and none is kept.
    Unkept,
    /// There is none.
    Missing,
    /// It is not taken, nor overwritten.
    Conflict,
    /// Nobody knows.
    Unknown,
}

/// A login and where it is, as `creds status --json` shows it. Keys are only ever added.
#[derive(Clone, Debug, Serialize)]
pub struct LoginRow {
    /// By what it is told from others.
    pub fingerprint: Option<String>,
    /// Whose it is, as far as it is known there.
    pub account: Option<Account>,
    /// When its access token expires, which Claude Code renews: milliseconds since 1970.
    pub expires: Option<Millis>,
    /// When it cannot be renewed any more, where that is known.
    pub ends: Option<Millis>,
    /// How it compares.
    pub standing: Standing,
    /// What is wrong with it.
    pub problem: Option<String>,
}

/// A token, as `creds status --json` shows it. Keys are only ever added.
#[derive(Clone, Debug, Serialize)]
pub struct TokenRow {
    /// By what it is told from others.
    pub fingerprint: String,
    /// What sort of token it is.
    pub kind: String,
    /// Since when it is kept here: milliseconds since 1970.
    pub since: Millis,
    /// Whether it is a year old, or soon will be.
    pub ends_soon: bool,
}

/// A VM, as `creds status --json` shows it. Keys are only ever added.
#[derive(Clone, Debug, Serialize)]
pub struct VmRow {
    /// The VM.
    pub name: VmName,
    /// How it is logged in.
    pub mode: LoginMode,
    /// The login that it has.
    #[serde(flatten)]
    pub login: LoginRow,
    /// When that was seen: milliseconds since 1970.
    pub seen: Option<Millis>,
}

impl LoginRow {
    fn missing(problem: Option<String>) -> Self {
        let (fingerprint, account, expires, ends) = (None, None, None, None);
        Self { fingerprint, account, expires, ends, standing: Standing::Missing, problem }
    }

    fn of(login: &Credentials, account: &Account, kept: Option<&Held>) -> Self {
        let standing = match kept {
            None => Standing::Unkept,
            Some(kept) if account.differs_from(&kept.account) => Standing::Conflict,
            Some(kept) if kept.credentials.fingerprint() == login.fingerprint() => Standing::Current,
            Some(kept) if login.is_newer_than(&kept.credentials) => Standing::Newer,
            Some(_) => Standing::Older,
        };
        let problem = kept.filter(|_| standing == Standing::Conflict).map(|kept| {
            format!("it is that of {account}, and the one that is kept is that of {}", kept.account)
        });
        Self {
            fingerprint: Some(login.fingerprint().to_owned()),
            account: Some(account.clone()).filter(Account::is_known),
            expires: Some(login.expires()),
            ends: login.ends(),
            standing,
            problem,
        }
    }

    /// Looks at the login that is kept.
    pub fn kept(kept: &Held) -> Self {
        Self::of(&kept.credentials, &kept.account, Some(kept))
    }

    /// Looks at this machine's own; the problem is apart, for its hints.
    pub fn host(files: Option<&ClaudeFiles>, kept: Option<&Held>) -> (Self, Option<HostProblem>) {
        match host::read(files) {
            Ok(HostLogin { credentials, account }) => (Self::of(&credentials, &account, kept), None),
            Err(problem) => (Self::missing(Some(problem.to_string())), Some(problem)),
        }
    }
}

impl TokenRow {
    /// Looks at the token that is kept for a VM, or for all that have none of their own.
    pub fn kept(store: &Store, name: Option<&VmName>) -> Result<Option<Self>, LoginError> {
        let token = match name {
            Some(name) => store.token(name)?,
            None => store.default_token()?,
        };
        Ok(token.map(|token| Self::of(&token, since(&store.token_file(name)))))
    }

    fn of(token: &Token, since: Millis) -> Self {
        let is_old = Millis::now() >= since.plus(TOKEN_LIFE - TOKEN_AHEAD);
        Self {
            fingerprint: token.fingerprint(),
            kind: token.kind().to_string(),
            since,
            ends_soon: token.kind() == TokenKind::Setup && is_old,
        }
    }
}

fn since(file: &PathBuf) -> Millis {
    let written = std::fs::metadata(file).and_then(|file| file.modified()).unwrap_or(UNIX_EPOCH);
    let since = written.duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since.as_millis()).unwrap_or_default())
}

impl VmRow {
    /// Sums up what a VM has that was asked just now.
    pub fn asked(
        name: &VmName,
        mode: LoginMode,
        seen: &Seen,
        kept: Option<&Held>,
        token: Option<&TokenRow>,
    ) -> Self {
        let login = match mode {
            LoginMode::Token => Self::token(seen, token),
            LoginMode::None | LoginMode::Copy => Self::login(seen, kept),
        };
        Self { name: name.clone(), mode, login, seen: Some(Millis::now()) }
    }

    fn token(seen: &Seen, token: Option<&TokenRow>) -> LoginRow {
        let Some(there) = &seen.token else { return LoginRow::missing(None) };
        let there = Token::parse(there).map(|token| token.fingerprint());
        let standing = match (&there, token) {
            (Ok(there), Some(token)) if *there == token.fingerprint => Standing::Current,
            (Ok(_), Some(_)) => Standing::Older,
            (Ok(_), None) => Standing::Unkept,
            (Err(_), _) => Standing::Conflict,
        };
        let problem = there.as_ref().err().map(ToString::to_string);
        LoginRow { fingerprint: there.ok(), standing, ..LoginRow::missing(problem) }
    }

    fn login(seen: &Seen, kept: Option<&Held>) -> LoginRow {
        let conflict =
            |problem| LoginRow { standing: Standing::Conflict, ..LoginRow::missing(Some(problem)) };
        match &seen.login {
            Place::Empty => LoginRow::missing(None),
            Place::Other(what) => conflict(format!("its login is {what}, not a file")),
            Place::File(content) if content.trim_ascii().is_empty() => LoginRow::missing(None),
            Place::File(content) => match Credentials::parse(content) {
                Ok(login) => LoginRow::of(&login, &seen.account, kept),
                Err(Malformed::NoLogin) => LoginRow::missing(None),
                Err(reason) => conflict(format!("its login is none: {reason}")),
            },
        }
    }

    /// Sums up what is known of a VM that was not asked, or that did not answer.
    pub fn known(
        name: &VmName,
        mode: LoginMode,
        known: Known,
        kept: Option<&Held>,
        problem: Option<String>,
    ) -> Self {
        let standing = match (mode, &known.fingerprint, kept) {
            (LoginMode::Copy, _, _) if known.problem.is_some() => Standing::Conflict,
            (LoginMode::Copy, Some(has), Some(kept)) if has == kept.credentials.fingerprint() => {
                Standing::Current
            }
            (LoginMode::Copy, Some(_), Some(_)) => Standing::Older,
            _ => Standing::Unknown,
        };
        let login = LoginRow {
            fingerprint: known.fingerprint,
            expires: known.expires,
            standing,
            ..LoginRow::missing(problem.or(known.problem))
        };
        Self { name: name.clone(), mode, login, seen: known.seen }
    }
}

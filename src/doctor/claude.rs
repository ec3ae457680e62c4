//! Whether logins of Claude Code that VMs get are good for anything.

use std::time::{Duration, UNIX_EPOCH};

use crate::claude::credentials::{Credentials, Millis};
use crate::claude::login::host::{self, HostLogin, HostProblem};
use crate::claude::login::status::{LoginRow, Standing, TokenRow};
use crate::claude::login::store::{Held, Store};
use crate::diagnostic::Diagnostic;
use crate::doctor::finding::{Finding, Level, quoted};
use crate::host::env::ClaudeFiles;
use crate::lifecycle::Engine;
use crate::vm::login_mode::LoginMode;
use crate::vm::name::VmName;

const SUBJECT: &str = "Claude login";

/// Looks at the login of this machine's user.
pub fn login(engine: &Engine) -> Vec<Finding> {
    let files = engine.claude.as_ref();
    vec![match host::read(files) {
        Ok(HostLogin { credentials, account }) => {
            let problem = files.and_then(|files| unusable(&credentials, files, Millis::now()));
            let whose = if account.is_known() { format!("of {account}, ") } else { String::new() };
            let good = format!("{whose}{}", until(&credentials));
            problem.unwrap_or_else(|| Finding::ok(SUBJECT, good))
        }
        Err(problem @ (HostProblem::Malformed { .. } | HostProblem::File(_))) => {
            Finding { level: Level::Warning, ..Finding::of(SUBJECT, &problem, "it cannot be copied to VMs") }
        }
        Err(problem) if is_copied(engine) => Finding {
            level: Level::Warning,
            ..Finding::of(SUBJECT, &problem, "VMs of the mode `copy` get no new login from here")
        },
        Err(problem) => Finding::ok(SUBJECT, format!("none: {problem}")),
    }]
}

fn is_copied(engine: &Engine) -> bool {
    let records =
        engine.registry.list().unwrap_or_default().into_iter().filter_map(|entry| entry.record.ok());
    records.map(|record| record.claude).any(|mode| mode == LoginMode::Copy)
}

fn until(login: &Credentials) -> String {
    let renewed = format!("to be renewed at {}", login.expires());
    login.ends().map_or(renewed.clone(), |end| format!("{renewed}, ends at {end}"))
}

/// Says why a login that can be read is worth nothing, or soon will be.
fn unusable(login: &Credentials, files: &ClaudeFiles, now: Millis) -> Option<Finding> {
    let again = "`claude`, then `/login`";
    if login.has_ended(now) {
        let detail = format!("it has expired: it could be renewed until {}", until_end(login));
        return Some(Finding::warning(SUBJECT, detail, "VMs that get it are not logged in").hint(again));
    }
    let path = files.credentials();
    let written = std::fs::metadata(&path).and_then(|file| file.modified()).ok();
    let written = written.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let written = written.map(|since| Millis(u64::try_from(since.as_millis()).unwrap_or_default()));
    // Reported of Claude Code: after `/login` the file has the old entry, whose refresh token the server rejects, and only
    // removing the file helps (https://github.com/anthropics/claude-code/issues/65761 and 91669). A renewal makes a login
    // that lasts hours, so one that had run out when it was written is no renewal.
    let slack = Duration::from_secs(60);
    if written.is_some_and(|written| login.expires().plus(slack) < written) {
        let detail = format!("`{}` has an entry that had run out before it was written", path.display());
        let meaning =
            "Claude Code may have kept a refresh token that is rejected, and `/login` does not replace it";
        let path = quoted(&path);
        let hint = format!(
            "if requests fail with 401 also after `/login`: `mv {path} {path}.old`, then `/login` once more"
        );
        return Some(Finding::warning(SUBJECT, detail, meaning).hint(hint));
    }
    login.ends_soon(now).then(|| {
        let detail = format!("it can be renewed until {} only", until_end(login));
        Finding::warning(SUBJECT, detail, "then you and the VMs that have it are logged out").hint(again)
    })
}

fn until_end(login: &Credentials) -> String {
    login.ends().map_or_else(|| "an unknown time".to_owned(), |end| end.to_string())
}

/// Looks at what is kept for VMs: the newest copied login, and tokens.
pub fn kept(engine: &Engine) -> Vec<Finding> {
    let store = Store::new(engine.registry.layout());
    let held = match store.held() {
        Ok(held) => held,
        Err(error) => return vec![unreadable(&error)],
    };
    let mut findings = Vec::from_iter(held.as_ref().and_then(|held| compare(engine, held)));
    let names = engine.registry.names().unwrap_or_default();
    // Else it is the one of all.
    let has_own = |name: &&VmName| store.token_file(Some(name)) != store.token_file(None);
    let names = std::iter::once(None).chain(names.iter().filter(has_own).map(Some));
    for name in names {
        let whose =
            name.map_or_else(|| "VMs that have none of their own".to_owned(), |name| format!("`{name}`"));
        match TokenRow::kept(&store, name) {
            Ok(Some(token)) if token.ends_soon => {
                let detail = format!("the token of {whose} is kept since {}", token.since);
                let of = name.map_or_else(|| "--default".to_owned(), ToString::to_string);
                let finding = Finding::warning(SUBJECT, detail, "such a token is good for a year");
                findings.push(
                    finding.hint(format!("`claude setup-token`, then `ai-vm creds set {of} --token -`")),
                );
            }
            Ok(_) => {}
            Err(error) => findings.push(unreadable(&error)),
        }
    }
    findings
}

fn unreadable(error: &dyn Diagnostic) -> Finding {
    let finding = Finding::of(SUBJECT, error, "VMs get no login");
    Finding { level: Level::Warning, ..finding }
}

/// A login that a VM has renewed is worth nothing here any more.
fn compare(engine: &Engine, held: &Held) -> Option<Finding> {
    let (row, _) = LoginRow::host(engine.claude.as_ref(), Some(held));
    match row.standing {
        Standing::Older => {
            let meaning = "a VM has renewed it since, so Claude Code cannot renew it here";
            let detail = "this machine's is older than the one that is kept for VMs";
            Some(
                Finding::warning(SUBJECT, detail, meaning)
                    .hint("`ai-vm creds pull --all --update-host`, or `claude`, then `/login`"),
            )
        }
        Standing::Conflict => {
            let meaning = "VMs get neither until you decide";
            let finding = Finding::warning(SUBJECT, row.problem.unwrap_or_default(), meaning);
            Some(finding.hint("forget the one that is kept: `ai-vm creds wipe --store`"))
        }
        _ => None,
    }
}

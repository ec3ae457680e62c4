//! `ai-vm creds status`: who has which login.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::task::JoinSet;

use crate::claude::account::Account;
use crate::claude::credentials::Millis;
use crate::claude::login::deliver::{self, Logins};
use crate::claude::login::status::{LoginRow, Standing, TokenRow, VmRow};
use crate::claude::login::store::{Held, Store};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::targets::Targets;
use crate::diagnostic::Diagnostic;
use crate::fleet::outcome::with_causes;
use crate::lifecycle::event::Listener;
use crate::lifecycle::reach::Route;
use crate::ui::table;
use crate::vm::login_mode::LoginMode;
use crate::vm::name::VmName;

/// How long a VM may take to say what it has. People wait for it.
const LOOK: Duration = Duration::from_secs(5);

/// How long after its access token expired a login of which nothing else is known is likely to have ended: about a
/// month is what people have seen.
const LIKELY_ENDED: Duration = Duration::from_secs(30 * 24 * 3600);

/// What there is, for programs. Keys are only ever added.
#[derive(Debug, Serialize)]
struct Status {
    /// This machine's own login.
    host: LoginRow,
    /// The one that is kept, where one is.
    kept: Option<LoginRow>,
    /// The token of VMs that have none of their own.
    token: Option<TokenRow>,
    vms: Vec<VmRow>,
}

/// Shows the logins of the VMs that are named, or of all.
pub fn run(ctx: &Context, targets: &Targets, json: bool) -> Result<u8, Failure> {
    let entries = if targets.is_empty() { ctx.registry().list()? } else { targets.resolve(ctx)? };
    let named = !targets.is_empty();
    let store = Store::new(ctx.registry().layout());
    let kept = store.held()?;
    let (host, problem) = LoginRow::host(ctx.engine.claude.as_ref(), kept.as_ref());
    let mut vms: Vec<(VmName, LoginMode)> = Vec::new();
    for entry in entries {
        match entry.record {
            Ok(record) => vms.push((record.name, record.claude)),
            Err(broken) => ctx.terminal.warn(&format!("{}: {broken}", entry.name)),
        }
    }
    let copies = vms.iter().any(|(_, mode)| *mode == LoginMode::Copy);
    let vms = ctx.block_on(look(ctx, vms, named, kept.clone()))??;
    let kept = kept.as_ref().map(LoginRow::kept);
    let status = Status { host, kept, token: TokenRow::kept(&store, None)?, vms };
    if json {
        ctx.print_json(&status)?;
    } else {
        ctx.print(&as_table(ctx, &status))?;
    }
    for warning in warnings(&status) {
        ctx.terminal.warn(&warning);
    }
    if let Some(problem) = problem.filter(|_| copies) {
        let hints = problem.hints().into_iter().map(|hint| format!("\n  hint: {hint}")).collect::<String>();
        ctx.terminal.warn(&format!("{problem}{hints}"));
    }
    Ok(0)
}

/// Asks the VMs that run, all at the same time. Those that ai-vm gives no login are asked only if they are named.
async fn look(
    ctx: &Context,
    vms: Vec<(VmName, LoginMode)>,
    named: bool,
    kept: Option<Held>,
) -> Result<Vec<VmRow>, Failure> {
    let store = Store::new(ctx.registry().layout());
    let mut jobs = JoinSet::new();
    for (name, mode) in vms {
        let (engine, store, kept) = (ctx.engine.clone(), store.clone(), kept.clone());
        jobs.spawn(async move {
            let token = TokenRow::kept(&store, Some(&name)).unwrap_or_default();
            let mut problem = None;
            if (named || !mode.is_none()) && deliver::is_up(&engine, &name) {
                let listener: Listener = Arc::new(|_| {});
                let route = Route { limit: LOOK, shared: true };
                match (Logins { engine: &engine, name: &name, route, listener: &listener }).look().await {
                    Ok(seen) => return VmRow::asked(&name, mode, &seen, kept.as_ref(), token.as_ref()),
                    Err(error) => problem = Some(with_causes(&error)),
                }
            }
            VmRow::known(&name, mode, store.known(&name), kept.as_ref(), problem)
        });
    }
    let mut rows = jobs.join_all().await;
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(rows)
}

fn warnings(status: &Status) -> Vec<String> {
    let now = Millis::now();
    let mut warnings = Vec::new();
    let mut logins = vec![("this machine's login".to_owned(), &status.host)];
    logins.extend(status.kept.as_ref().map(|kept| ("the login that is kept".to_owned(), kept)));
    logins.extend(status.vms.iter().map(|vm| (format!("{}: its login", vm.name), &vm.login)));
    for (what, login) in logins {
        let again = "log in again: `claude`, then `/login`";
        match (login.ends, login.expires) {
            (Some(end), _) if end <= now => warnings.push(format!("{what} ended at {end}; {again}")),
            (Some(end), _) if end.since(now) <= Duration::from_secs(5 * 24 * 3600) => {
                warnings.push(format!("{what} ends {}; {again}", when(end, now)));
            }
            (None, Some(expires)) if now.since(expires) >= LIKELY_ENDED => {
                warnings.push(format!("{what} expired {} and has likely ended; {again}", when(expires, now)));
            }
            _ => {}
        }
    }
    if status.token.as_ref().is_some_and(|token| token.ends_soon) {
        warnings.push(
            "the token was given to ai-vm almost a year ago, after which it ends; make a new one: \
                       `claude setup-token`, then `ai-vm creds set --default --token -`"
                .to_owned(),
        );
    }
    if let Some(problem) = status.host.problem.as_ref().filter(|_| status.host.standing == Standing::Conflict)
    {
        let go_on = "to go on with this machine's login: `ai-vm creds wipe --store`";
        warnings.push(format!("this machine's login: {problem}; {go_on}"));
    }
    for vm in &status.vms {
        if let Some(problem) = &vm.login.problem {
            warnings.push(format!("{}: {problem}", vm.name));
        }
    }
    warnings
}

fn as_table(ctx: &Context, status: &Status) -> String {
    let now = Millis::now();
    let mut rows = vec![row("this machine", "", &status.host, now, None)];
    rows.extend(status.kept.as_ref().map(|kept| row("kept", "", kept, now, None)));
    rows.extend(status.token.as_ref().map(|token| {
        let since = format!("{}, kept {}", token.kind, when(token.since, now));
        ["kept token", "", &token.fingerprint, "", "", &since].map(str::to_owned).to_vec()
    }));
    rows.extend(
        status.vms.iter().map(|vm| row(vm.name.as_str(), &vm.mode.to_string(), &vm.login, now, vm.seen)),
    );
    table::render(&ctx.terminal, &["WHERE", "MODE", "LOGIN", "ACCOUNT", "EXPIRES", "STATE"], rows)
}

fn row(place: &str, mode: &str, login: &LoginRow, now: Millis, seen: Option<Millis>) -> Vec<String> {
    let state = match (login.standing, mode) {
        (Standing::Unknown, "none") => "not ai-vm's to know",
        (Standing::Unknown, _) => "not known",
        (Standing::Current, "token") => "has its token",
        (Standing::Older, "token") => "another token",
        (Standing::Current, _) => "the newest",
        (Standing::Older, _) => "older",
        (Standing::Newer, _) => "newer than the one that is kept",
        (Standing::Unkept, _) => "not kept yet",
        (Standing::Missing, _) => "no login",
        (Standing::Conflict, _) => "conflict",
    };
    // What was seen a moment ago needs no date.
    let seen = seen.filter(|seen| now.since(*seen) > Duration::from_secs(60));
    let seen = seen.map(|seen| format!(", seen {}", when(seen, now))).unwrap_or_default();
    vec![
        place.to_owned(),
        mode.to_owned(),
        login.fingerprint.clone().unwrap_or_default(),
        login.account.as_ref().map(Account::to_string).unwrap_or_default(),
        login.expires.map(|expires| when(expires, now)).unwrap_or_default(),
        format!("{state}{seen}"),
    ]
}

/// Says when something is, or was, in one unit.
fn when(moment: Millis, now: Millis) -> String {
    let (later, earlier) = (moment.since(now), now.since(moment));
    let minutes = later.max(earlier).as_secs() / 60;
    let span = match minutes {
        0..120 => format!("{minutes} min"),
        120..2880 => format!("{} h", minutes / 60),
        _ => format!("{} days", minutes / 60 / 24),
    };
    if later.is_zero() { format!("{span} ago") } else { format!("in {span}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_in_words() {
        let now = Millis(1_800_000_000_000);
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        assert_eq!(when(now.plus(hours(7)), now), "in 7 h");
        assert_eq!(when(now, now.plus(hours(1))), "60 min ago");
        assert_eq!(when(now.plus(hours(24 * 9)), now), "in 9 days");
        assert_eq!(when(now, now), "0 min ago");
    }
}

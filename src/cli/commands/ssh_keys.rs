//! `ai-vm ssh-keys`: the keys by which VMs let in and are recognised.

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::each::{EachArgs, each};
use crate::cli::failure::Failure;
use crate::cli::targets::Targets;
use crate::cli::values::duration;
use crate::host::files;
use crate::host::layout::Identity;
use crate::lifecycle::rotate::{self, Rotated};
use crate::registry::store::Entry;
use crate::ssh::keys;
use crate::ui::filter;
use crate::vm::guest::Guest;
use crate::vm::name::VmName;

/// The largest key file that is read, in bytes.
const MAX_KEY: u64 = 16 * 1024;

/// Show the keys of VMs, or give them new ones
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ai-vm ssh-keys show web\n  \
    ai-vm ssh-keys rotate web\n  \
    ai-vm ssh-keys rotate --all")]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

/// What can be done with keys.
#[derive(Debug, Subcommand)]
enum Verb {
    /// Show public keys and their fingerprints
    Show {
        #[command(flatten)]
        targets: Targets,
        /// Print an array of objects: name, login_key, login_fingerprint, login_file, host_key, host_fingerprint,
        /// unfinished
        #[arg(long)]
        json: bool,
    },
    /// Give VMs new login keys, and take the old ones from them
    #[command(
        after_help = "A VM that runs gets the new key first; it takes the place of the old one here only when it \
        has logged in. Killed at any moment, this leaves a login that works: run it again.\n\n\
        For example: ai-vm ssh-keys rotate web, ai-vm ssh-keys rotate --all"
    )]
    Rotate {
        #[command(flatten)]
        targets: Targets,
        /// Change the host key as well, of VMs that are stopped
        #[arg(long)]
        host_key: bool,
        /// How long to wait for a VM that is starting: 90, 5m
        #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration)]
        timeout: Duration,
        #[command(flatten)]
        many: EachArgs,
    },
}

/// The keys of a VM as `ssh-keys show --json` shows them. Keys are only ever added.
#[derive(Debug, Serialize)]
struct Row {
    name: VmName,
    /// The public key that logs in; `null` where that is not ai-vm's to decide.
    login_key: Option<String>,
    login_fingerprint: Option<String>,
    /// The private key's file.
    login_file: Option<PathBuf>,
    host_key: Option<String>,
    host_fingerprint: Option<String>,
    /// Whether a rotation was broken off: an earlier key may still log in.
    unfinished: bool,
}

/// Does what was asked for.
pub fn run(ctx: &Context, args: Args) -> Result<u8, Failure> {
    match args.verb {
        Verb::Show { targets, json } => show(ctx, &targets, json),
        Verb::Rotate { targets, host_key, timeout, many } => {
            let names = targets.named_own(ctx, "ssh-keys rotate")?;
            each(ctx, "rotate", many, names, |vm| async move {
                let done = rotate::rotate(&vm.engine, &vm.name, host_key, timeout, &vm.listener).await?;
                Ok(words(done, host_key))
            })
        }
    }
}

fn words(done: Rotated, host_key_asked: bool) -> String {
    let login = match done.running {
        true => "new login key in use, the old one no longer logs in",
        false => "new login key from the next start on",
    };
    let host = match (host_key_asked, done.host_key) {
        (false, _) => "",
        (true, true) => ", and a new host key",
        (true, false) => "; the host key stays as it is while the VM runs: stop it first",
    };
    format!("{login}{host}")
}

fn show(ctx: &Context, targets: &Targets, json: bool) -> Result<u8, Failure> {
    let rows: Vec<Row> = targets.require(ctx, "ssh-keys show")?.iter().map(|entry| row(ctx, entry)).collect();
    if json {
        ctx.print_json(&rows)?;
    } else {
        let texts: Vec<String> = rows.iter().map(text).collect();
        ctx.print(&texts.join("\n"))?;
    }
    Ok(0)
}

fn row(ctx: &Context, entry: &Entry) -> Row {
    let dir = ctx.registry().dir(&entry.name);
    let read = |file: &str| {
        let text = files::read_bounded(&dir.file(file), MAX_KEY).ok()?;
        Some(String::from_utf8_lossy(&text).trim_end().to_owned())
    };
    let (login_key, login_file, host_key) = match entry.record.as_ref().map(|record| &record.guest) {
        Ok(Guest::Adopted(adopted)) => (None, adopted.identity.clone(), read(Identity::ADOPTED_HOST_KEY)),
        _ => (
            read(Identity::LOGIN_PUBLIC_KEY),
            Some(dir.file(Identity::LOGIN_KEY)),
            read(Identity::HOST_PUBLIC_KEY),
        ),
    };
    let fingerprint = |key: &Option<String>| key.as_deref().and_then(keys::fingerprint);
    Row {
        name: entry.name.clone(),
        login_fingerprint: fingerprint(&login_key),
        login_key,
        login_file,
        host_fingerprint: fingerprint(&host_key),
        host_key,
        unfinished: rotate::is_unfinished(&dir),
    }
}

/// Lays the keys out as `key: value` lines. Keys without a value are left away.
fn text(row: &Row) -> String {
    let lines = [
        ("name", Some(row.name.to_string())),
        ("login key", row.login_key.clone()),
        ("", row.login_fingerprint.clone()),
        ("login file", row.login_file.as_ref().map(|path| path.display().to_string())),
        ("host key", row.host_key.clone()),
        ("", row.host_fingerprint.clone()),
        (
            "problem",
            row.unfinished
                .then(|| format!("a rotation was broken off: `ai-vm ssh-keys rotate {}` ends it", row.name)),
        ),
    ];
    let line = |(key, value): (&str, Option<String>)| {
        let key = if key.is_empty() { String::new() } else { format!("{key}:") };
        value.map(|value| format!("{key:<12}{}\n", filter::one_line(&value)))
    };
    lines.into_iter().filter_map(line).collect()
}

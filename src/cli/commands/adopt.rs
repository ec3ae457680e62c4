//! `ai-vm adopt`: takes a machine that something else runs into the registry.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use crate::cli::confirm::confirm;
use crate::cli::context::Context;
use crate::cli::failure::{Failure, UsageError, paste};
use crate::cli::values::{duration, value};
use crate::host::files::failed;
use crate::lifecycle::adopt::Adoption;
use crate::lifecycle::event::{Event, unless_quick};
use crate::registry::error::RegistryError;
use crate::ssh::host_key::HostKey;
use crate::ssh::scan;
use crate::ui::filter;
use crate::vm::endpoint::Address;
use crate::vm::guest::Adopted;
use crate::vm::label::Label;
use crate::vm::name::VmName;
use crate::vm::spec::{SpecError, UserName};

/// Register a machine that something else runs, to reach it like a VM
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ai-vm adopt box dev@box.example.org                   its key is shown, to be agreed to\n  \
    ai-vm adopt box dev@192.0.2.7:2222 -l team=red\n  \
    ai-vm exec box -- uptime")]
pub struct Args {
    /// The name that it gets: letters, digits, - and _
    #[arg(value_name = "NAME", value_parser = value::<VmName>)]
    name: VmName,
    /// Where its SSH server is: box.example.org, root@10.0.0.7:2222, dev@[2001:db8::7]
    #[arg(value_name = "[USER@]HOST[:PORT]", value_parser = value::<Address>)]
    address: Address,
    /// Log in with this private key only [default: those of your agent, then ~/.ssh/id_*]
    #[arg(short, long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// The machine's host key, as its /etc/ssh/ssh_host_ed25519_key.pub has it [default: asked, then confirmed by you]
    #[arg(long, value_name = "KEY", value_parser = value::<HostKey>)]
    host_key: Option<HostKey>,
    /// A label, to name many VMs at once later
    #[arg(short, long = "label", value_name = "KEY=VALUE", value_parser = value::<Label>)]
    labels: Vec<Label>,
    /// Take the host key that the server shows without asking
    #[arg(short, long)]
    yes: bool,
    /// Do not try to log in
    #[arg(long)]
    no_check: bool,
    /// How long it may take to answer: 90, 5m
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    timeout: Duration,
}

/// Pins the machine's key, tries to log in, and registers it.
pub fn run(ctx: &Context, args: Args) -> Result<u8, Failure> {
    // Spares the questions below; the registry decides.
    if ctx.registry().entry(args.name.clone()).is_some() {
        return Err(RegistryError::Exists { name: args.name }.into());
    }
    let identity = args.identity.as_deref().map(absolute).transpose()?;
    let user = user(ctx, &args)?;
    let host_key = match &args.host_key {
        Some(key) => key.clone(),
        None => ask_for_key(ctx, &args)?,
    };
    let Address { endpoint, .. } = args.address;
    let adoption = Adoption {
        name: args.name.clone(),
        user: user.clone(),
        adopted: Adopted { host: endpoint.host.clone(), port: endpoint.port, identity },
        host_key,
        labels: args.labels.into_iter().map(|label| (label.key, label.value)).collect(),
    };
    let mut calls_itself = String::new();
    if !args.no_check {
        let listener = ctx.listener(args.name.as_str());
        listener(Event::Step("logging in".to_owned()));
        if let Some(said) = ctx.block_on(adoption.introduce(&ctx.engine, args.timeout))?? {
            calls_itself = format!(", which calls itself `{}`", filter::one_line(&said));
        }
    }
    adoption.register(&ctx.engine)?;
    ctx.terminal.status(&format!("{}: adopted {user}@{endpoint}{calls_itself}", args.name));
    Ok(0)
}

/// The login name that was typed, else that of the person at the keyboard, as OpenSSH does it.
fn user(ctx: &Context, args: &Args) -> Result<UserName, SpecError> {
    match (&args.address.user, &ctx.env.user) {
        (Some(user), _) => Ok(user.clone()),
        (None, Some(ours)) => ours.parse(),
        (None, None) => Ok(UserName::default()),
    }
}

/// Gets the key that the server shows, and somebody's word for it.
fn ask_for_key(ctx: &Context, args: &Args) -> Result<HostKey, Failure> {
    let endpoint = &args.address.endpoint;
    let listener = ctx.listener(args.name.as_str());
    let asking = scan::host_key(endpoint, Instant::now() + args.timeout);
    let key = ctx.block_on(unless_quick(&listener, "asking for its host key", asking))??;
    drop(listener);
    let shown = format!("{endpoint} shows the {} key {}", key.algorithm(), key.fingerprint());
    if args.yes {
        ctx.terminal.status(&shown);
        return Ok(key);
    }
    match confirm(ctx, &format!("{shown}\nIs it the machine's own?")) {
        Some(true) => Ok(key),
        Some(false) => Err(Failure::Shown(1)),
        None => {
            let error = UsageError {
                message: format!("{shown}, for which nobody vouches"),
                hint: format!("if it is the machine's own: `{}`", again(args, &key)),
            };
            Err(error.into())
        }
    }
}

/// Returns the command line that says the same with the key.
fn again(args: &Args, key: &HostKey) -> String {
    let Address { user, endpoint } = &args.address;
    let user = user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
    let mut line = format!("ai-vm adopt {} {user}{endpoint}", args.name);
    if let Some(identity) = &args.identity {
        line.push_str(&format!(" -i {}", paste(&[identity.into()])));
    }
    for label in &args.labels {
        line.push_str(&format!(" -l {}", paste(&[label.to_string().into()])));
    }
    if args.no_check {
        line.push_str(" --no-check");
    }
    format!("{line} --host-key '{key}'")
}

/// Makes the path of a key absolute, because a record is read from other directories.
fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    let path = std::fs::canonicalize(path).map_err(failed("find the key", path))?;
    if path.to_str().is_none() {
        return Err(SpecError::Path { path }.into());
    }
    Ok(path)
}

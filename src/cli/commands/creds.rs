//! `ai-vm creds`: how Claude Code in VMs is logged in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Subcommand;

use crate::claude::login::deliver::{self, Fetched, IN_PASSING, Logins};
use crate::claude::login::error::LoginError;
use crate::claude::login::exchange::{self, Pulled, Pushed};
use crate::claude::login::store::Store;
use crate::claude::login::token::{Source, Token};
use crate::cli::commands::creds_status;
use crate::cli::confirm::may_read_stdin;
use crate::cli::context::Context;
use crate::cli::each::{EachArgs, Job, each};
use crate::cli::failure::{Failure, UsageError};
use crate::cli::targets::Targets;
use crate::cli::values::{duration, value};
use crate::diagnostic::Diagnostic;
use crate::lifecycle::reach::Route;
use crate::lifecycle::stop::stop;
use crate::vm::login_mode::LoginMode;
use crate::vm::name::VmName;

/// Show, give, fetch and remove the logins of Claude Code in VMs
#[derive(Debug, clap::Args)]
#[command(after_help = "How a VM is logged in is its mode:\n  \
    none    by whoever uses it there\n  \
    token   by a token that does not change: of `claude setup-token`, or an API key\n  \
    copy    as this machine is: the login in ~/.claude/.credentials.json, or $CLAUDE_CONFIG_DIR\n\n\
    A login that is copied changes whenever Claude Code renews it anywhere, which makes all other copies worthless: \
    each can be renewed once, by one. So ai-vm keeps the newest in a store of its own. It gives it to VMs when they \
    start, takes a newer one from them before they are stopped or removed, and passes it on to those that run. Between \
    that, `push` and `pull` do it. This machine's own login is only read, unless `pull --update-host` says otherwise. \
    For many VMs that renew their logins at the same time, use tokens.\n\n\
    Examples:\n  \
    ai-vm up web --share-claude-auth\n  \
    claude setup-token                                 then, with what it prints:\n  \
    ai-vm creds set web db --token - < token           or --token FILE, or --token-env VARIABLE\n  \
    ai-vm creds status\n  \
    ai-vm creds pull --all --update-host\n  \
    ai-vm creds wipe web                               before its disk is given away")]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

/// What can be done with logins.
#[derive(Debug, Subcommand)]
enum Verb {
    /// Show who has which login, whose it is and until when; asks the VMs that run
    Status {
        #[command(flatten)]
        targets: Targets,
        /// Print an object: host, kept, token, vms
        #[arg(long)]
        json: bool,
    },
    /// Choose how VMs are logged in, and give them a token
    Set {
        #[command(flatten)]
        targets: Targets,
        /// The mode: `none`, `token` or `copy`
        #[arg(long, value_name = "MODE", value_parser = value::<LoginMode>)]
        mode: Option<LoginMode>,
        /// A token, from stdin or a file, for the mode `token`
        #[arg(long, value_name = "-|FILE", value_parser = value::<TokenFrom>)]
        token: Option<TokenFrom>,
        /// The same from a variable of the environment here
        #[arg(long, value_name = "VARIABLE", conflicts_with = "token")]
        token_env: Option<String>,
        /// Keep the token for all VMs of the mode `token` that have none of their own
        #[arg(long, conflicts_with_all = ["names", "all", "labels", "mode"])]
        default: bool,
        #[command(flatten)]
        asked: Asked,
    },
    /// Give VMs that run their login: a token, or the newest of those that are copied
    Push {
        #[command(flatten)]
        targets: Targets,
        #[command(flatten)]
        asked: Asked,
    },
    /// Fetch the logins of VMs that have a copy, keep the newest, and pass it on to those that run
    Pull {
        #[command(flatten)]
        targets: Targets,
        /// Give this machine's own Claude Code the newest too; its file is kept beside it
        #[arg(long)]
        update_host: bool,
        #[command(flatten)]
        asked: Asked,
    },
    /// Remove every login from VMs that run, and give them none from now on
    Wipe {
        #[command(flatten)]
        targets: Targets,
        /// Forget the login that is kept here, to begin again with this machine's own
        #[arg(long)]
        store: bool,
        #[command(flatten)]
        asked: Asked,
    },
}

/// How VMs are asked.
#[derive(Debug, clap::Args)]
struct Asked {
    /// How long each request to a VM may take: 90, 5m
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    timeout: Duration,
    /// Use a connection of its own instead of one that is kept between commands
    #[arg(long)]
    no_mux: bool,
    #[command(flatten)]
    many: EachArgs,
}

impl Asked {
    const fn route(&self) -> Route {
        Route { limit: self.timeout, shared: !self.no_mux }
    }
}

/// Where a token comes from, as it is typed.
#[derive(Clone, Debug)]
struct TokenFrom(Source);

impl std::str::FromStr for TokenFrom {
    type Err = crate::claude::login::token::TokenError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Source::named(text).map(Self)
    }
}

/// Does what was asked for.
pub fn run(ctx: &Context, args: Args) -> Result<u8, Failure> {
    match args.verb {
        Verb::Status { targets, json } => creds_status::run(ctx, &targets, json),
        Verb::Set { targets, mode, token, token_env, default, asked } => {
            let source = token.map(|TokenFrom(source)| source).or(token_env.map(Source::Variable));
            if default { set_default(ctx, source) } else { set(ctx, &targets, mode, source, &asked) }
        }
        Verb::Push { targets, asked } => {
            let names = targets.named(ctx, "creds push")?;
            let route = asked.route();
            each(ctx, "push", asked.many, names, |vm| async move { Ok(push(&vm, route).await?) })
        }
        Verb::Pull { targets, update_host, asked } => pull(ctx, &targets, update_host, &asked),
        Verb::Wipe { targets, store, asked } => {
            if store {
                let forgot = Store::new(ctx.registry().layout()).forget()?;
                let said = if forgot { "forgot the login that was kept" } else { "no login was kept" };
                ctx.terminal.status(said);
                if targets.is_empty() {
                    return Ok(0);
                }
            }
            let names = targets.named(ctx, "creds wipe")?;
            let route = asked.route();
            each(ctx, "wipe", asked.many, names, |vm| async move {
                logins(&vm, route).wipe().await?;
                Ok("has no login any more, and gets none".to_owned())
            })
        }
    }
}

const fn logins(vm: &Job, route: Route) -> Logins<'_> {
    Logins { engine: &vm.engine, name: &vm.name, route, listener: &vm.listener }
}

async fn push(vm: &Job, route: Route) -> Result<String, LoginError> {
    Ok(match logins(vm, route).push().await? {
        Pushed::Given => "has got its login",
        Pushed::Had => "has its login already",
        Pushed::Newer => {
            "has the newest login, which is kept from now on; `ai-vm creds push --all` passes it on"
        }
    }
    .to_owned())
}

/// Reads a token.
fn read(ctx: &Context, source: &Source) -> Result<Token, Failure> {
    if *source == Source::Stdin {
        may_read_stdin(ctx, "give it a file: `--token - < FILE`, `--token FILE`, or `--token-env VARIABLE`")?;
    }
    Ok(source.read()?)
}

fn set_default(ctx: &Context, source: Option<Source>) -> Result<u8, Failure> {
    let Some(source) = source else {
        let message = "`--default` keeps a token, and none was given".to_owned();
        return Err(UsageError { message, hint: "add `--token -` and give it on stdin".to_owned() }.into());
    };
    let token = read(ctx, &source)?;
    Store::new(ctx.registry().layout()).keep_token(None, &token)?;
    let kind = token.kind();
    ctx.terminal.status(&format!(
        "kept the {kind} for VMs of the mode `token`; `ai-vm creds push --all` gives it to those that run"
    ));
    Ok(0)
}

fn set(
    ctx: &Context,
    targets: &Targets,
    mode: Option<LoginMode>,
    source: Option<Source>,
    asked: &Asked,
) -> Result<u8, Failure> {
    let mode = match (mode, &source) {
        (Some(mode), Some(_)) if mode != LoginMode::Token => {
            let message = format!("a token is of no use to the mode `{mode}`");
            return Err(UsageError { message, hint: "leave one of them away".to_owned() }.into());
        }
        (Some(mode), _) => mode,
        (None, Some(_)) => LoginMode::Token,
        (None, None) => {
            let message = "`ai-vm creds set` needs to know how".to_owned();
            let hint = "add `--mode none`, `--mode copy`, or `--token -` with the token on stdin".to_owned();
            return Err(UsageError { message, hint }.into());
        }
    };
    let names = targets.named(ctx, "creds set")?;
    let token = source.map(|source| read(ctx, &source)).transpose()?;
    let route = asked.route();
    each(ctx, "set", asked.many, names, |vm| {
        let token = token.clone();
        async move {
            let store = Store::new(vm.engine.registry.layout());
            deliver::set_mode(&vm.engine, &vm.name, mode)?;
            if let Some(token) = &token {
                store.keep_token(Some(&vm.name), token)?;
            }
            if mode.is_none() {
                return Ok("is given no login from now on; what it has stays there".to_owned());
            }
            if mode == LoginMode::Token && store.token(&vm.name)?.is_none() {
                return Ok(format!("mode token, and no token yet: `ai-vm creds set {} --token -`", vm.name));
            }
            if !deliver::is_up(&vm.engine, &vm.name) {
                return Ok(format!("mode {mode}, from its next start on"));
            }
            match push(&vm, route).await {
                Ok(words) => Ok(format!("mode {mode}, {words}")),
                Err(error) => {
                    Err(LoginError::NotGiven { name: vm.name.clone(), mode, error: Box::new(error) }.into())
                }
            }
        }
    })
}

fn pull(ctx: &Context, targets: &Targets, update_host: bool, asked: &Asked) -> Result<u8, Failure> {
    let names = targets.named(ctx, "creds pull")?;
    let ending = Ending::of(&[]);
    let route = asked.route();
    let code = each(ctx, "pull", asked.many, names, |vm| {
        let ending = ending.clone();
        async move {
            let pulled = logins(&vm, route).pull().await?;
            ending.heard(pulled == Pulled::Newer);
            Ok(match pulled {
                Pulled::Newer => "had the newest login, which is kept from now on",
                Pulled::Same => "has the login that is kept",
                Pulled::Older => "has an older login than the one that is kept",
                Pulled::Nothing => "has no login that is copied",
            }
            .to_owned())
        }
    })?;
    pass_on(ctx, &ending)?;
    if update_host {
        let store = Store::new(ctx.registry().layout());
        let said = match exchange::update_host(&store, ctx.engine.claude.as_ref())? {
            None => "this machine has the newest login already".to_owned(),
            Some(updated) => {
                let kept = updated.backup.map(|file| format!("; what it had is in `{}`", file.display()));
                format!("this machine has the newest login now{}", kept.unwrap_or_default())
            }
        };
        ctx.terminal.status(&said);
    }
    Ok(code)
}

/// VMs that come to an end, whose logins are fetched before.
#[derive(Clone, Debug)]
pub struct Ending {
    names: Arc<[VmName]>,
    newer: Arc<AtomicBool>,
}

impl Ending {
    /// Begins with the VMs to which nothing newer is to be given any more.
    pub fn of(names: &[VmName]) -> Self {
        Self { names: names.into(), newer: Arc::default() }
    }

    fn heard(&self, newer: bool) {
        self.newer.fetch_or(newer, Ordering::Relaxed);
    }

    async fn fetch(&self, vm: &Job) -> Fetched {
        let fetched = logins(vm, IN_PASSING).before_end().await;
        self.heard(fetched.newer);
        fetched
    }

    /// Fetches the login of a VM and stops it. With `force` nothing is fetched: its disk keeps it.
    pub async fn stop(&self, vm: &Job, time: Duration, force: bool) -> Result<(), Box<dyn Diagnostic>> {
        let fetched = if force { None } else { Some(self.fetch(vm).await) };
        stop(&vm.engine, &vm.name, time, force, &vm.listener).await?;
        if let Some(fetched) = fetched {
            logins(vm, IN_PASSING).ended(fetched);
        }
        Ok(())
    }

    /// Fetches the login of a VM that is to be removed; refuses, unless forced, if it may be the newest and cannot be had.
    pub async fn before_removal(&self, vm: &Job, force: bool) -> Result<(), Box<dyn Diagnostic>> {
        if force {
            self.fetch(vm).await;
        } else {
            logins(vm, IN_PASSING).may_go()?;
        }
        Ok(())
    }
}

/// Gives what was fetched, if it is newer than what others have, to those that run.
pub fn pass_on(ctx: &Context, ending: &Ending) -> Result<(), Failure> {
    if !ending.newer.load(Ordering::Relaxed) {
        return Ok(());
    }
    for (name, pushed) in ctx.block_on(deliver::pass_on(&ctx.engine, &ending.names))?? {
        match pushed {
            Ok(Pushed::Had) => {}
            Ok(Pushed::Given | Pushed::Newer) => {
                ctx.terminal.status(&format!("{name}: has got the newest login"));
            }
            Err(error) => ctx.terminal.warn(&format!("{name}: has not got the newest login: {error}")),
        }
    }
    Ok(())
}

//! Sends this machine's configuration of Claude Code to VMs, asked for or by the way.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::claude::config::error::ConfigError;
use crate::claude::config::send::{self, Done, Look};
use crate::claude::config::view::{Source, View, What};
use crate::claude::settings::Asked;
use crate::cli::commands::exec::ReachArgs;
use crate::cli::context::Context;
use crate::cli::copying;
use crate::cli::each::Job;
use crate::cli::targets::Targets;
use crate::fleet::outcome::with_causes;
use crate::lifecycle::Engine;
use crate::lifecycle::event::{Event, Listener};
use crate::lifecycle::reach::Route;
use crate::transfer::copy::Copy;
use crate::transfer::error::TransferError;
use crate::transfer::session::{Guests, Wanted};
use crate::transfer::watch::{Report, Watch};
use crate::vm::guest::Guest;
use crate::vm::name::VmName;

/// How long it may take by the way, in the course of something else.
const BY_THE_WAY: Duration = Duration::from_secs(60);

/// What is sent, and from where.
#[derive(Clone)]
pub struct ConfigSync {
    source: Arc<Source>,
    what: Arc<What>,
}

/// How a VM is reached, and how closely is looked.
pub struct How {
    /// By which way.
    pub route: Route,
    /// Whether one that is stopped is started.
    pub start: bool,
    /// How closely.
    pub look: Look,
    /// Whether nothing is done but looking.
    pub dry: bool,
    /// Whether it is still wanted.
    pub wanted: Wanted,
}

impl ConfigSync {
    /// What the configuration file says, and these besides.
    pub fn new(ctx: &Context, history: bool, plugins: bool) -> Result<Self, ConfigError> {
        let dir = ctx.engine.claude.as_ref().map(|claude| claude.dir.as_path());
        let source = Source::new(dir, ctx.engine.home.as_deref())?;
        let sync = &ctx.config.sync;
        let asked = Asked { env: sync.env.clone(), hooks: sync.hooks };
        let what = What { history, plugins: plugins || sync.plugins, asked };
        Ok(Self { source: Arc::new(source), what: Arc::new(what) })
    }

    /// What is sent without being asked for; `None` when there is nothing, or it is not wanted.
    pub fn automatic(ctx: &Context) -> Option<Self> {
        let sync = ctx.config.sync.auto.then(|| Self::new(ctx, false, false).ok()).flatten()?;
        sync.source.is_there().then_some(sync)
    }

    /// Sends it to a VM; also returns what that is to have.
    pub async fn send(
        &self,
        engine: &Engine,
        name: &VmName,
        how: How,
        listener: &Listener,
    ) -> Result<(Done, Arc<View>), ConfigError> {
        let record = engine.registry.get(name).map_err(|error| TransferError::reach(error.into()))?;
        let home = match record.user.to_string().as_str() {
            "root" => "/root".to_owned(),
            user => format!("/home/{user}"),
        };
        let (told, warned) = (listener, Arc::clone(listener));
        let watch = Watch::new(move |report| {
            let (Report::Problem(text) | Report::Skipped(text)) = report;
            warned(Event::Warning(text));
        });
        let listener = |_: &VmName| Arc::clone(listener);
        let How { route, start, wanted, .. } = how;
        let guests = Guests { engine, route, start, listener: &listener, wanted };
        let watch = Arc::new(watch);
        let copy = Copy { guests, watch: Arc::clone(&watch) };
        let (tops, source, what) = (self.what.tops(), Arc::clone(&self.source), Arc::clone(&self.what));
        let here = move || source.view(&what, &home);
        tokio::select! {
            sent = send::send(&copy, name, &tops, here, how.look, how.dry) => sent,
            never = copying::show(told, &watch) => match never {},
        }
    }

    /// Sends it by the way, if it is not what was sent last. What goes wrong is told and is no reason for anything.
    async fn by_the_way(
        &self,
        engine: &Engine,
        name: &VmName,
        route: Route,
        start: bool,
        listener: &Listener,
    ) {
        let how = How { route, start, look: Look::Quick, dry: false, wanted: Wanted::always() };
        let limit = route.limit.saturating_add(BY_THE_WAY);
        let failed = match timeout(limit, self.send(engine, name, how, listener)).await {
            Ok(Ok(_)) => return,
            // Whoever wants to reach it next says that it cannot be.
            Ok(Err(ConfigError::Transfer(error))) if matches!(*error, TransferError::Reach(_)) => return,
            Ok(Err(error)) => with_causes(&error),
            Err(_) => format!("it took longer than {} s", limit.as_secs()),
        };
        let hint = format!("`ai-vm sync {name}` tries again");
        listener(Event::Warning(format!("Claude's configuration was not sent: {failed}; {hint}")));
    }

    /// Sends it to a VM that has just become ready, if it is of those in which Claude Code is.
    pub async fn at_start(&self, vm: &Job) {
        let has_claude = |guest: &Guest| matches!(guest, Guest::Debian | Guest::Nixos(_));
        if vm.engine.registry.get(&vm.name).is_ok_and(|record| has_claude(&record.guest)) {
            (vm.listener)(Event::Step("sending Claude's configuration".to_owned()));
            let route = Route { limit: BY_THE_WAY, shared: true };
            self.by_the_way(&vm.engine, &vm.name, route, false, &vm.listener).await;
        }
    }
}

/// Sends what has changed to VMs in which Claude Code is about to be started, by the command that does that.
pub fn before(ctx: &Context, targets: &Targets, reach: &ReachArgs, command: &[OsString]) {
    let starts_claude = command.first().is_some_and(|program| {
        let program = program.as_bytes();
        program == b"start-claude" || program.ends_with(b"/start-claude")
    });
    if !starts_claude {
        return;
    }
    let (Some(sync), Ok(entries)) = (ConfigSync::automatic(ctx), targets.resolve(ctx)) else { return };
    // What is wrong with a runtime is told by the command itself.
    let _ = ctx.block_on(async {
        let mut jobs = JoinSet::new();
        for entry in entries {
            let (sync, engine, name) = (sync.clone(), ctx.engine.clone(), entry.name);
            let (listener, route, start) = (ctx.listener(name.as_str()), reach.route(), reach.start);
            jobs.spawn(async move { sync.by_the_way(&engine, &name, route, start, &listener).await });
        }
        jobs.join_all().await;
    });
}

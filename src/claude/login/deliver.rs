//! Logins in the life of VMs: given at a start, fetched before an end, and passed on to the others that run.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::claude::credentials::Millis;
use crate::claude::login::error::LoginError;
use crate::claude::login::exchange::{Exchange, Pulled, Pushed};
use crate::claude::login::peer::{Others, Peer, Seen};
use crate::claude::login::remote::Guest;
use crate::claude::login::store::Store;
use crate::host::layout::VmDir;
use crate::host::lock;
use crate::lifecycle::Engine;
use crate::lifecycle::event::{Event, Listener};
use crate::lifecycle::reach::Route;
use crate::lifecycle::run::Run;
use crate::registry::record::Record;
use crate::vm::login_mode::LoginMode;
use crate::vm::name::VmName;

/// How long a guest may take for one request in the course of something else, which it must not hold up.
const BY_THE_WAY: Duration = Duration::from_secs(10);

/// How guests are asked in the course of something else.
pub const IN_PASSING: Route = Route { limit: BY_THE_WAY, shared: true };

/// Logins of one VM.
pub struct Logins<'a> {
    /// What works on VMs.
    pub engine: &'a Engine,
    /// The VM.
    pub name: &'a VmName,
    /// How it is asked, and how long each request may take in all.
    pub route: Route,
    /// Is told what happens.
    pub listener: &'a Listener,
}

impl<'a> Logins<'a> {
    const fn in_passing(engine: &'a Engine, name: &'a VmName, listener: &'a Listener) -> Self {
        Self { engine, name, route: IN_PASSING, listener }
    }
}

impl Logins<'_> {
    fn store(&self) -> Store {
        Store::new(self.engine.registry.layout())
    }

    fn guest(&self) -> Guest<'_> {
        Guest { engine: self.engine, name: self.name, route: self.route, listener: self.listener }
    }

    fn exchange<'a>(&'a self, store: &'a Store) -> Exchange<'a> {
        Exchange { store, host: self.engine.claude.as_ref(), name: self.name }
    }

    fn mode(&self) -> Result<LoginMode, LoginError> {
        Ok(self.engine.registry.get(self.name)?.claude)
    }

    /// Gives the VM what its mode says.
    pub async fn push(&self) -> Result<Pushed, LoginError> {
        let store = self.store();
        match self.mode()? {
            LoginMode::None => Err(LoginError::NoMode { name: self.name.clone() }),
            LoginMode::Token => self.exchange(&store).push_token(&mut self.guest()).await,
            LoginMode::Copy => {
                let mut others = Running { engine: self.engine, except: self.name };
                self.exchange(&store).push(&mut self.guest(), &mut others).await
            }
        }
    }

    /// Fetches the login of a VM that has a copy.
    pub async fn pull(&self) -> Result<Pulled, LoginError> {
        let store = self.store();
        match self.mode()? {
            LoginMode::Copy => self.exchange(&store).pull(&mut self.guest()).await,
            LoginMode::None | LoginMode::Token => Ok(Pulled::Nothing),
        }
    }

    /// Takes every login out of the VM; from then on ai-vm gives it none. A newer one that it has is kept.
    pub async fn wipe(&self) -> Result<(), LoginError> {
        let store = self.store();
        let mode = self.mode()?;
        let mut guest = self.guest();
        // Before anything is changed here, so that it is in order when the VM cannot be reached.
        let reached = match mode {
            LoginMode::Copy => self.exchange(&store).pull(&mut guest).await.map(drop),
            LoginMode::None | LoginMode::Token => guest.read().await.map(drop),
        };
        match reached {
            // What is not taken is to go all the same.
            Ok(()) | Err(LoginError::Refused { .. } | LoginError::NotUnderstood { .. }) => {}
            Err(error) => return Err(error),
        }
        set_mode(self.engine, self.name, LoginMode::None)?;
        store.forget_token(Some(self.name))?;
        self.exchange(&store).wipe(&mut guest).await
    }

    /// Looks at what the VM has, and changes nothing.
    pub async fn look(&self) -> Result<Seen, LoginError> {
        self.guest().read().await
    }

    /// Gives a VM that has just become ready its login. What goes wrong is told and is no reason not to use it.
    pub async fn at_start(&self) {
        if self.mode().unwrap_or_default().is_none() {
            return;
        }
        (self.listener)(Event::Step("giving it its login".to_owned()));
        if let Err(error) = self.push().await {
            (self.listener)(Event::Warning(format!("it has not got its login: {}", in_full(&error))));
        }
    }

    /// Fetches the login of a VM that is to be stopped, if it is one that can have renewed a copy. What goes wrong is told
    /// and is no reason not to stop it.
    pub async fn before_end(&self) -> Fetched {
        if self.mode().unwrap_or_default() != LoginMode::Copy || !is_up(self.engine, self.name) {
            return Fetched { newer: false, settles: false };
        }
        (self.listener)(Event::Step("fetching its login".to_owned()));
        match self.pull().await {
            Ok(pulled) => Fetched { newer: pulled == Pulled::Newer, settles: true },
            Err(error) => {
                (self.listener)(Event::Warning(format!("its login was not fetched: {}", in_full(&error))));
                Fetched { newer: false, settles: false }
            }
        }
    }

    /// Notes that the VM was stopped after its login was fetched.
    pub fn ended(&self, fetched: Fetched) {
        if fetched.settles {
            // Not noted, it is asked about once more when it is removed.
            let _ = self.store().settle(self.name);
        }
    }

    /// Refuses to let a VM go with which the newest login might go.
    pub fn may_go(&self) -> Result<(), LoginError> {
        let record = self.engine.registry.get(self.name);
        // What something else runs is only forgotten.
        let copies =
            record.is_ok_and(|record| record.claude == LoginMode::Copy && !record.guest.is_adopted());
        let alive = lock::is_held(&self.engine.registry.dir(self.name).file(VmDir::RUN_LOCK)).unwrap_or(true);
        if copies && !alive && self.store().may_be_newest(self.name, Millis::now()) {
            return Err(LoginError::LastCopy { name: self.name.clone() });
        }
        Ok(())
    }
}

/// What came of fetching the login of a VM before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Whether it was newer than all others, which are to get it now.
    pub newer: bool,
    settles: bool,
}

/// Changes how Claude Code in a VM is logged in.
pub fn set_mode(engine: &Engine, name: &VmName, mode: LoginMode) -> Result<Record, LoginError> {
    engine.registry.update(name, |record, _| {
        record.claude = mode;
        Ok::<_, LoginError>(())
    })
}

/// Gives the newest login to all VMs that run, have a copy and were last seen with another one, at the same time. Returns
/// what came of it for each.
pub async fn pass_on(
    engine: &Engine,
    except: &[VmName],
) -> Result<Vec<(VmName, Result<Pushed, LoginError>)>, LoginError> {
    let store = Store::new(engine.registry.layout());
    let Some(held) = store.held()? else { return Ok(Vec::new()) };
    let newest = held.credentials.fingerprint();
    let mut jobs = JoinSet::new();
    for name in copies(engine)? {
        let has = store.known(&name).fingerprint.as_deref() == Some(newest);
        if has || except.contains(&name) || !is_up(engine, &name) {
            continue;
        }
        let engine = engine.clone();
        jobs.spawn(async move {
            let pushed = Logins::in_passing(&engine, &name, &quiet()).push().await;
            (name, pushed)
        });
    }
    let mut all = jobs.join_all().await;
    all.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(all)
}

/// The VMs that run and have a copy, but one.
struct Running<'a> {
    engine: &'a Engine,
    except: &'a VmName,
}

impl Others for Running<'_> {
    async fn fetch(&mut self) {
        let mut jobs = JoinSet::new();
        for name in copies(self.engine).unwrap_or_default() {
            if name != *self.except && is_up(self.engine, &name) {
                let engine = self.engine.clone();
                // What does not answer is asked again when something is given to it.
                jobs.spawn(
                    async move { Logins::in_passing(&engine, &name, &quiet()).pull().await.map(drop) },
                );
            }
        }
        jobs.join_all().await;
    }
}

/// Returns the VMs that have a copy.
fn copies(engine: &Engine) -> Result<Vec<VmName>, LoginError> {
    let entries = engine.registry.list()?.into_iter();
    let copies =
        entries.filter(|entry| entry.record.as_ref().is_ok_and(|record| record.claude == LoginMode::Copy));
    Ok(copies.map(|entry| entry.name).collect())
}

fn quiet() -> Listener {
    Arc::new(|_| {})
}

/// Tells whether a guest can be asked now: it has been seen ready in this boot, or something else runs it.
pub fn is_up(engine: &Engine, name: &VmName) -> bool {
    let dir = engine.registry.dir(name);
    let alive = || lock::is_held(&dir.file(VmDir::RUN_LOCK)).unwrap_or(false);
    let ready = || Run::read(&dir).is_some_and(|run| run.is_ready(&dir));
    engine.registry.get(name).is_ok_and(|record| record.guest.is_adopted()) || alive() && ready()
}

/// Returns what an error says with its causes, and its first hint.
fn in_full(error: &LoginError) -> String {
    use crate::diagnostic::Diagnostic;
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    let text = causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"));
    error.hints().first().map(|hint| format!("{text}; {hint}")).unwrap_or(text)
}

//! Runs programs in a guest: by a connection that is there already, or by one made for it.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::host::layout::{Identity, Layout, VmDir};
use crate::host::{files, lock};
use crate::lifecycle::attempt::{self, Attempt, Outcome};
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::event::{Listener, unless_quick};
use crate::lifecycle::ready::{CONNECTING, Patience};
use crate::lifecycle::run::Run;
use crate::lifecycle::{Engine, ready};
use crate::ssh::connect;
use crate::ssh::mux::asked::Asked;
use crate::ssh::mux::client::Holder;
use crate::ssh::mux::wire::{self, Request};
use crate::ssh::program::{Program, TerminalRequest};
use crate::ssh::running::Running;
use crate::ssh::session::SessionError;
use crate::vm::name::VmName;

/// How a guest is reached.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// How long to wait for a guest that is booting.
    pub limit: Duration,
    /// Whether a connection may be shared with other commands.
    pub shared: bool,
}

/// How long a server that has let us in may take to begin with a program.
const BEGIN: Duration = Duration::from_secs(30);

/// How long the holder may take to have a connection.
const CONNECT: Duration = Duration::from_secs(30);

/// The largest key file that is read, in bytes.
const MAX_KEY: u64 = 16 * 1024;

/// Asks the holder to run a program, where one is there and the guest is ready: without a runtime.
pub fn ask(
    engine: &Engine,
    name: &VmName,
    route: Route,
    program: &Program,
    terminal: Option<&TerminalRequest>,
) -> Result<Option<Asked>, LifecycleError> {
    if !route.shared {
        return Ok(None);
    }
    let request = request(engine, name, Patience::of(route.limit), program, terminal)?;
    Ok(request.and_then(|request| holder(engine.registry.layout()).ask(&request)))
}

/// Starts a program in a guest, waiting for it while it boots.
pub async fn start(
    engine: &Engine,
    name: &VmName,
    route: Route,
    program: &Program,
    terminal: Option<&TerminalRequest>,
    listener: &Listener,
) -> Result<Running, LifecycleError> {
    start_asked(engine, name, route, program, terminal, None, listener).await
}

/// The same where the holder has been asked already.
pub async fn start_asked(
    engine: &Engine,
    name: &VmName,
    route: Route,
    program: &Program,
    terminal: Option<&TerminalRequest>,
    asked: Option<Asked>,
    listener: &Listener,
) -> Result<Running, LifecycleError> {
    let patience = Patience::of(route.limit);
    // A holder that is sick leaves time to do without it.
    let limit = CONNECT.min(patience.left() / 2);
    let remote = match asked {
        Some(asked) => unless_quick(listener, CONNECTING, asked.answer(limit)).await?,
        None if route.shared => match request(engine, name, patience, program, terminal)? {
            Some(request) => {
                let holder = holder(engine.registry.layout());
                unless_quick(listener, CONNECTING, holder.run(&request, None, limit)).await?
            }
            None => None,
        },
        None => None,
    };
    if let Some(remote) = remote {
        return Ok(Running::Shared(remote));
    }
    // On the heap, because what is kept for a login is large, and a kept connection has none.
    let session = Box::pin(ready::session(engine, name, patience, listener)).await?;
    let begin_by = patience.end().min(Instant::now() + BEGIN);
    Ok(unless_quick(listener, CONNECTING, Running::on(session, program, terminal, begin_by)).await?)
}

/// Waits until a guest is ready, on a connection that the holder keeps, so that the first command need not log in anew.
pub async fn wait(
    engine: &Engine,
    name: &VmName,
    patience: Patience,
    listener: &Listener,
) -> Result<(), LifecycleError> {
    if engine.registry.get(name)?.guest.is_adopted() {
        return ready::session(engine, name, patience, listener).await.map(drop);
    }
    let holder = holder(engine.registry.layout());
    ready::until(engine, name, patience, listener, |attempt| see(holder.clone(), attempt)).await
}

/// Attempts to see a guest ready by way of the holder, and without it where that does not work.
async fn see(holder: Holder, attempt: Attempt) -> Outcome<()> {
    if attempt.run.is_ready(&attempt.dir) {
        return Ok(attempt::log_in(attempt).await?.map(drop));
    }
    let speaks_by = attempt.end.min(Instant::now() + attempt.patience);
    let brought = match connect::reach(&attempt.target, speaks_by).await {
        Ok(brought) => brought,
        Err(error) => return attempt::failed(error),
    };
    let request = Request {
        target: attempt.target.clone(),
        boot: login(&attempt.run, &attempt.dir),
        limit: attempt.end.saturating_duration_since(Instant::now()),
        command: Some(attempt.question()),
        terminal: None,
    };
    match timeout_at(attempt.end, holder.run(&request, Some(brought), CONNECT)).await {
        Ok(Ok(Some(remote))) => attempt.answered(remote.status(attempt.end).await, ()),
        // Alone it also becomes known what is in the way.
        Ok(Ok(None) | Err(_)) => Ok(attempt::log_in(attempt).await?.map(drop)),
        Err(_) => Ok(Err(SessionError::Timeout.to_string())),
    }
}

/// Describes what is wanted of the holder. Only of a guest that has been seen ready in this boot: while one boots there
/// is more to be said than the holder can say. A machine that something else runs has no boots that we know of, but an
/// identifier that no other has.
fn request(
    engine: &Engine,
    name: &VmName,
    patience: Patience,
    program: &Program,
    terminal: Option<&TerminalRequest>,
) -> Result<Option<Request>, LifecycleError> {
    let record = engine.registry.get(name)?;
    let dir = engine.registry.dir(name);
    let boot = if record.guest.is_adopted() {
        record.uuid.clone()
    } else {
        let run = Run::read(&dir).filter(|run| run.is_ready(&dir));
        let (Some(run), true) = (run, lock::is_held(&dir.file(VmDir::RUN_LOCK))?) else { return Ok(None) };
        login(&run, &dir)
    };
    let target = ready::target(engine, &record)?;
    let limit = patience.left().min(BEGIN);
    let command = match program {
        Program::Command(command) => Some(command.clone()),
        Program::Shell => None,
    };
    Ok(Some(Request { target, boot, limit, command, terminal: terminal.cloned() }))
}

/// Returns what makes a login in a boot another one: a key that has been changed since.
fn login(run: &Run, dir: &VmDir) -> String {
    let key = files::read_bounded(&dir.file(Identity::LOGIN_PUBLIC_KEY), MAX_KEY).unwrap_or_default();
    format!("{} {}", run.boot, String::from_utf8_lossy(&key).trim_end())
}

fn holder(layout: &Layout) -> Holder {
    Holder {
        dir: layout.root().to_owned(),
        socket: Layout::holder_socket(wire::VERSION),
        lock: layout.holder_lock(wire::VERSION),
        log: layout.holder_log(),
    }
}

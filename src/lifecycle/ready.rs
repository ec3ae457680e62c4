//! Waits until a guest can be worked in: its own server answers, lets us in, and knows the marker of this boot.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep, timeout_at};

use crate::host::files;
use crate::host::layout::{Identity, VmDir};
use crate::host::lock;
use crate::lifecycle::attempt::{Attempt, Outcome, log_in};
use crate::lifecycle::durations::Course;
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::event::{Event, Listener, unless_quick};
use crate::lifecycle::run::Run;
use crate::lifecycle::{Engine, adopt};
use crate::qemu::launch::last_words;
use crate::qemu::qmp;
use crate::registry::record::Record;
use crate::ssh::connect::Session;
use crate::ssh::target::{Login, Target};
use crate::vm::endpoint::Endpoint;
use crate::vm::guest::Guest;
use crate::vm::name::VmName;
use crate::vm::state::Answer;

/// The pause between attempts. An attempt on a guest that is not there yet lasts longer than this by itself.
const PAUSE: Duration = Duration::from_millis(30);

/// How long a guest that has not been reached yet may take for its first byte, at first and at last.
const FIRST_PATIENCE: Duration = Duration::from_secs(1);
const LAST_PATIENCE: Duration = Duration::from_secs(10);

/// How often it is looked whether QEMU lives and what the console says.
const LOOK: Duration = Duration::from_millis(50);

/// How often QEMU is asked whether it still runs the guest.
const ASK: Duration = Duration::from_secs(2);

/// What is said where a guest that is there takes its time to answer.
pub(super) const CONNECTING: &str = "connecting";

/// The largest key file that is read, in bytes.
const MAX_KEY: u64 = 16 * 1024;

/// How long something may take in all, whatever is tried for it.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    begun: Instant,
    limit: Duration,
    insists: bool,
}

impl Patience {
    /// Begins now.
    pub fn of(limit: Duration) -> Self {
        Self { begun: Instant::now(), limit, insists: false }
    }

    /// Also tries a machine that something else runs again and again, of which nobody says that it is coming up.
    pub fn insisting(self) -> Self {
        Self { insists: true, ..self }
    }

    /// Tells whether such a machine is tried again.
    pub fn insists(&self) -> bool {
        self.insists
    }

    /// Returns how long it is in all.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// Returns when it ends.
    pub fn end(&self) -> Instant {
        self.begun + self.limit
    }

    /// Returns what is left of it.
    pub fn left(&self) -> Duration {
        self.end().saturating_duration_since(Instant::now())
    }
}

/// Returns how to reach a VM's SSH server.
pub fn target(engine: &Engine, record: &Record) -> Result<Target, LifecycleError> {
    if let Guest::Adopted(adopted) = &record.guest {
        return adopt::registered(engine, record, adopted);
    }
    let forward = record.ssh().ok_or_else(|| LifecycleError::NoSshPort { name: record.name.clone() })?;
    let dir = engine.registry.dir(&record.name);
    let host_key = files::read_bounded(&dir.file(Identity::HOST_PUBLIC_KEY), MAX_KEY)?;
    // A server that listens everywhere is reached on loopback.
    let ip = if forward.bind.is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { forward.bind };
    Ok(Target {
        endpoint: Endpoint { host: ip.into(), port: forward.host },
        user: record.user.to_string(),
        login: Login::Key { file: dir.file(Identity::LOGIN_KEY), agent: None },
        host_key: String::from_utf8_lossy(&host_key).into_owned(),
        accepts_early: true,
    })
}

/// Waits until the guest is ready and returns a connection to it.
pub async fn session(
    engine: &Engine,
    name: &VmName,
    patience: Patience,
    listener: &Listener,
) -> Result<Session, LifecycleError> {
    let record = engine.registry.get(name)?;
    if let Guest::Adopted(adopted) = &record.guest {
        return adopt::session(engine, &record, adopted, patience, listener).await;
    }
    until(engine, name, patience, listener, log_in).await
}

/// Attempts to reach the guest of a VM until that works, QEMU has ended, or time is up.
pub(super) async fn until<T, F: Future<Output = Outcome<T>>>(
    engine: &Engine,
    name: &VmName,
    patience: Patience,
    listener: &Listener,
    attempt: impl Fn(Attempt) -> F,
) -> Result<T, LifecycleError> {
    let dir = engine.registry.dir(name);
    if !lock::is_held(&dir.file(VmDir::RUN_LOCK))? {
        return Err(LifecycleError::Stopped { name: name.clone() });
    }
    let run = Run::read(&dir);
    let boots = !run.as_ref().is_some_and(|run| run.is_ready(&dir));
    let mut boot = None;
    if boots {
        listener(Event::Step("booting".to_owned()));
        boot = run.and_then(|run| course(engine, name, &run));
        let left = boot.as_mut().and_then(|(course, ago)| course.enter("booting", *ago));
        left.into_iter().for_each(|left| listener(Event::Estimate(left)));
    }
    let deadline = patience.end();
    let mut last = None;
    let reached = timeout_at(deadline, async {
        tokio::select! {
            reached = keep_trying(engine, name, deadline, &mut last, attempt) => reached,
            reason = watch(&dir, name, listener, boots) => Err(reason),
        }
    });
    let reached = match boots {
        true => reached.await,
        false => unless_quick(listener, CONNECTING, reached).await,
    };
    // One that nobody saw unready may have been ready for long.
    if let (Some((course, _)), Some(_), Ok(Ok(_))) = (boot, &last, &reached) {
        course.finish();
    }
    reached.unwrap_or_else(|_| {
        let console = last_console_line(&dir);
        Err(LifecycleError::NotReady {
            name: name.clone(),
            waited: patience.limit,
            last: last.take().unwrap_or_else(|| "QEMU is not up yet".to_owned()),
            console,
        })
    })
}

/// Returns what is known about how long a boot takes, and for how long this one has been under way.
fn course(engine: &Engine, name: &VmName, run: &Run) -> Option<(Course, Duration)> {
    let record = engine.registry.get(name).ok()?;
    let began = humantime::parse_rfc3339(&run.started).ok()?;
    let ago = SystemTime::now().duration_since(began).unwrap_or_default();
    // Images that people bring differ.
    let image = match &record.guest {
        Guest::Image { .. } => record.image().map_or("", String::as_str),
        guest => guest.family(),
    };
    Some((Course::begin(engine.registry.layout(), format!("boot {image} {}", run.accel)), ago))
}

/// Tries until it works, or until something is wrong that does not pass; `last` tells how the last attempt failed.
async fn keep_trying<T, F: Future<Output = Outcome<T>>>(
    engine: &Engine,
    name: &VmName,
    deadline: Instant,
    last: &mut Option<String>,
    attempt: impl Fn(Attempt) -> F,
) -> Result<T, LifecycleError> {
    let dir = engine.registry.dir(name);
    let mut patience = FIRST_PATIENCE;
    loop {
        // Until the launch is written down its ports can still change; what is there may be of an earlier boot.
        if let Some(run) = Run::read(&dir).filter(|_| dir.file(VmDir::QMP_SOCKET).exists()) {
            let target = target(engine, &engine.registry.get(name)?)?;
            if run.is_ready(&dir) {
                patience = LAST_PATIENCE;
            }
            match attempt(Attempt::within(target, run, &dir, patience, deadline)).await? {
                Ok(reached) => return Ok(reached),
                // An attempt that the deadline cut short tells less than the one before it.
                Err(reason) if Instant::now() < deadline => *last = Some(reason),
                Err(_) => {}
            }
            // On a busy host a guest may need longer for its first byte than it was given.
            patience = (patience * 3 / 2).min(LAST_PATIENCE);
        }
        sleep(PAUSE).await;
    }
}

/// Watches a VM that is waited for. Ends with what is wrong, when something is.
async fn watch(dir: &VmDir, name: &VmName, listener: &Listener, boots: bool) -> LifecycleError {
    let mut asked = Instant::now();
    loop {
        match lock::is_held(&dir.file(VmDir::RUN_LOCK)) {
            Ok(true) => {}
            Ok(false) => return LifecycleError::Died { name: name.clone(), said: last_words(dir) },
            Err(error) => return error.into(),
        }
        if let Some(line) = Some(dir).filter(|_| boots).and_then(last_console_line) {
            listener(Event::Console(line));
        }
        if asked.elapsed() >= ASK {
            if let Err(error) = still_running(dir, name).await {
                return error;
            }
            asked = Instant::now();
        }
        sleep(LOOK).await;
    }
}

/// Makes one short attempt, for a look at a VM that was not known to be ready.
pub async fn is_ready_now(engine: &Engine, record: &Record, patience: Duration, limit: Duration) -> bool {
    let dir = engine.registry.dir(&record.name);
    let (Some(run), Ok(target)) = (Run::read(&dir), target(engine, record)) else { return false };
    let attempt = Attempt::within(target, run, &dir, patience, Instant::now() + limit);
    matches!(log_in(attempt).await, Ok(Ok(_)))
}

/// Asks QEMU whether it still lets the guest run.
async fn still_running(dir: &VmDir, name: &VmName) -> Result<(), LifecycleError> {
    let why = match qmp::status(dir).await {
        Answer::Running | Answer::Absent => return Ok(()),
        Answer::Silent => "QEMU does not answer on its control socket".to_owned(),
        Answer::Paused => "it is paused".to_owned(),
        Answer::Failed(status) => format!("QEMU stopped the guest: {status}"),
    };
    Err(LifecycleError::Halted { name: name.clone(), why })
}

/// Returns the last line that the guest wrote to its console, not filtered.
fn last_console_line(dir: &VmDir) -> Option<String> {
    /// A console's end is enough, however much a guest has written.
    const TAIL: u64 = 1024;
    let tail = files::read_tail(&dir.file(VmDir::CONSOLE_LOG), TAIL).ok()?;
    let text = String::from_utf8_lossy(&tail);
    text.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
}

//! Machines that something else runs: how they come into the registry, and whether they can be reached. There is no QEMU
//! and no boot to wait for: such a machine lets us in, or it does not.

use std::error::Error;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep};

use crate::host::files;
use crate::host::layout::{Identity, VmDir};
use crate::host::random;
use crate::lifecycle::Engine;
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::event::{Event, Listener, unless_quick};
use crate::lifecycle::ready::{CONNECTING, Patience};
use crate::registry::ports::Machine;
use crate::registry::record::{Record, SCHEMA};
use crate::ssh::connect::{Session, connect};
use crate::ssh::error::ConnectError;
use crate::ssh::host_key::HostKey;
use crate::ssh::target::{Login, Target};
use crate::vm::guest::{Adopted, Guest};
use crate::vm::label::Labels;
use crate::vm::login_mode::LoginMode;
use crate::vm::name::VmName;
use crate::vm::spec::{AcceleratorChoice, UserName};
use crate::vm::state::State;

/// How long a server may take for its first byte, and a login in all: somebody may have to touch a key for it.
const FIRST_BYTE: Duration = Duration::from_secs(10);
const LOGIN: Duration = Duration::from_secs(30);

/// How long a look at a machine may take in all. Many are looked at together, and people wait for it.
const LOOK: Duration = Duration::from_millis(800);

/// The pause between attempts, at first and at last: it is somebody else's server.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// The largest key file that is read, in bytes.
const MAX_KEY: u64 = 16 * 1024;

/// A machine that is to be adopted.
#[derive(Clone, Debug)]
pub struct Adoption {
    /// The name that it gets.
    pub name: VmName,
    /// The login name on it.
    pub user: UserName,
    /// Where and how it is reached.
    pub adopted: Adopted,
    /// Its SSH server's key.
    pub host_key: HostKey,
    /// Its labels.
    pub labels: Labels,
}

impl Adoption {
    /// Logs in and returns what the machine calls itself, not filtered, where it says so.
    pub async fn introduce(
        &self,
        engine: &Engine,
        limit: Duration,
    ) -> Result<Option<String>, LifecycleError> {
        let target = target(engine, &self.adopted, &self.user, &self.host_key.to_string());
        let deadline = Instant::now() + limit;
        let session = connect(&target, FIRST_BYTE, deadline).await.map_err(|error| {
            LifecycleError::NotAdopted { name: self.name.clone(), error: Box::new(error) }
        })?;
        let said = session.capture("uname -n", deadline).await.unwrap_or_default().stdout;
        let text = String::from_utf8_lossy(&said);
        Ok(text.lines().next().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned))
    }

    /// Puts the machine into the registry and pins its key. Says nothing to it.
    pub fn register(self, engine: &Engine) -> Result<Record, LifecycleError> {
        let key = format!("{}\n", self.host_key);
        let record = Record {
            schema: SCHEMA,
            name: self.name,
            uuid: random::uuid4()?,
            created: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            user: self.user,
            hardware: None,
            machine: None,
            accel: AcceleratorChoice::Auto,
            base: None,
            systems: Vec::new(),
            guest: Guest::Adopted(self.adopted),
            claude: LoginMode::None,
            labels: self.labels,
            forwards: Vec::new(),
            overlay: false,
            audio: false,
            desktop: None,
            dir: None,
            shares: Vec::new(),
            unknown: toml::Table::new(),
        };
        let prepare = |dir: &VmDir| {
            files::create_private_dir(&dir.file(VmDir::IDENTITY))?;
            files::write_new(&dir.file(Identity::ADOPTED_HOST_KEY), key.as_bytes())
        };
        Ok(engine.registry.create(record, None, &Machine, prepare)?)
    }
}

/// Returns how to log in on an adopted machine: with the key that was given for it, else with what the user has.
fn target(engine: &Engine, adopted: &Adopted, user: &UserName, host_key: &str) -> Target {
    let agent = engine.agent.clone();
    let login = match &adopted.identity {
        Some(file) => Login::Key { file: file.clone(), agent },
        None => Login::Any { agent, files: engine.keys.clone() },
    };
    Target {
        endpoint: adopted.endpoint(),
        user: user.to_string(),
        login,
        host_key: host_key.to_owned(),
        accepts_early: false,
    }
}

/// Returns how to reach a machine of the registry.
pub(super) fn registered(
    engine: &Engine,
    record: &Record,
    adopted: &Adopted,
) -> Result<Target, LifecycleError> {
    let file = engine.registry.dir(&record.name).file(Identity::ADOPTED_HOST_KEY);
    let key = files::read_bounded(&file, MAX_KEY)?;
    Ok(target(engine, adopted, &record.user, &String::from_utf8_lossy(&key)))
}

/// Logs in. What fails is an error at once, unless patience insists and it may pass.
pub(super) async fn session(
    engine: &Engine,
    record: &Record,
    adopted: &Adopted,
    patience: Patience,
    listener: &Listener,
) -> Result<Session, LifecycleError> {
    let target = registered(engine, record, adopted)?;
    let mut pause = FIRST_PAUSE;
    loop {
        let login = connect(&target, FIRST_BYTE, patience.end().min(Instant::now() + LOGIN));
        let tried = match pause {
            FIRST_PAUSE => unless_quick(listener, CONNECTING, login).await,
            // What was in the way before tells more.
            _ => login.await,
        };
        let error = match tried {
            Ok(session) => return Ok(session),
            Err(error) => error,
        };
        let name = record.name.clone();
        if !patience.insists() || !error.may_pass() {
            return Err(LifecycleError::Unreachable { name, error: Box::new(error) });
        }
        if pause >= patience.left() {
            return Err(LifecycleError::NotReached { name, waited: patience.limit(), last: Box::new(error) });
        }
        listener(Event::Step(format!("{error}, trying again")));
        sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

/// Looks at a machine for a moment: whether it lets us in, and if not, why, on one line.
pub(super) async fn look(engine: &Engine, record: &Record, adopted: &Adopted) -> (State, Option<String>) {
    let target = match registered(engine, record, adopted) {
        Ok(target) => target,
        Err(error) => return (State::Broken, Some(in_one_line(&error))),
    };
    match connect(&target, LOOK, Instant::now() + LOOK).await {
        Ok(_) => (State::Running, None),
        Err(error @ (ConnectError::HostKey { .. } | ConnectError::Key { .. } | ConnectError::File(_))) => {
            (State::Broken, Some(in_one_line(&error)))
        }
        Err(error) => (State::Unreachable, Some(in_one_line(&error))),
    }
}

fn in_one_line(error: &dyn Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", in_one_line(source)),
        None => error.to_string(),
    }
}

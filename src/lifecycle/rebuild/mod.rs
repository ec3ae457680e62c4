//! Lets a guest rebuild itself, apart from the connection that asks for it.

pub mod error;

use std::ffi::OsString;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::host::random;
use crate::lifecycle::Engine;
use crate::lifecycle::apart::{Apart, Came, EVALUATE, End, News, PRELUDE, PROCESS, What};
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::event::Listener;
use crate::lifecycle::reach::Route;
use crate::lifecycle::rebuild::error::{NO_COMMAND, RebuildError};
use crate::ssh::command::RemoteCommand;
use crate::vm::name::VmName;

/// What runs in the guest, as root.
const SCRIPT: &str = include_str!("remote.sh");

/// Becomes root where that is needed, and does what is in place of a program's name.
const AS_ROOT: &str =
    "[ \"$(id -u)\" = 0 ] || exec sudo -n -- sh -c \"$0\" ai-vm-rebuild \"$@\"\neval \"$0\"";

/// A rebuild of one VM.
pub struct Rebuild<'a> {
    /// What works on VMs.
    pub engine: &'a Engine,
    /// The VM.
    pub name: &'a VmName,
    /// How it is reached at first.
    pub route: Route,
    /// Whether it is started if it is stopped.
    pub start: bool,
    /// Takes the log, as the guest wrote it.
    pub log: mpsc::Sender<Bytes>,
    /// Is told what becomes known.
    pub tell: &'a (dyn Fn(News) + Send + Sync),
}

impl Rebuild<'_> {
    /// Does it. A rebuild that fails is no error here.
    pub async fn run(self, what: What, listener: Listener) -> Result<End, RebuildError> {
        let Rebuild { engine, name, route, start, log, tell } = self;
        let run = random::hex128().map_err(LifecycleError::from)?;
        let script = &command;
        let input = Bytes::new();
        let apart = Apart { engine, name, route, start, script, input, run, known: 0, log, tell };
        let came = apart.run(what, listener).await.map_err(|error| RebuildError::apart(name, error))?;
        match (came.code, came.end) {
            (0, Some(end)) => Ok(end),
            (0, None) if what == What::Begin => Ok(End::UnderWay),
            _ => Err(meaning(name, &came)),
        }
    }
}

fn command(asked: [String; 3]) -> RemoteCommand {
    let script = [PROCESS, PRELUDE, SCRIPT].concat();
    let program = ["sh", "-c", AS_ROOT, EVALUATE, &script].map(OsString::from);
    let argv = program.into_iter().chain(asked.map(OsString::from)).collect();
    RemoteCommand { argv, ..RemoteCommand::default() }
}

/// Says what the script's own exit codes mean.
fn meaning(name: &VmName, came: &Came) -> RebuildError {
    let name = name.clone();
    let what = match came.code {
        80 => "there is no systemd",
        81 => NO_COMMAND,
        82 => "it cannot write down what it does",
        83 => "systemd did not begin it",
        84 => return RebuildError::NoLog { name },
        0 | 85 => return RebuildError::NoEnd { name },
        _ => "who logs in cannot become root",
    };
    RebuildError::Unable { name, what, said: came.said.trim_end().to_owned() }
}

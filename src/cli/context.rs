//! What every command starts from.

use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::cli::config::Config;
use crate::cli::failure::{Failure, RuntimeError};
use crate::guest::nixos::{self, flake};
use crate::host::data_dir::{self, DataDirError};
use crate::host::env::Environment;
use crate::host::layout::Layout;
use crate::lifecycle::Engine;
use crate::lifecycle::event::{Event, Listener};
use crate::lifecycle::observe::{self, Observed};
use crate::registry::store::{Entry, Registry};
use crate::ssh::stdio;
use crate::ui::filter;
use crate::ui::progress::Progress;
use crate::ui::terminal::Terminal;
use crate::vm::guest::Family;
use crate::vm::port::Port;
use crate::vm::spec::SpecError;

/// The environment, configuration, VMs and terminal of one command.
#[derive(Debug)]
pub struct Context {
    /// What the environment says.
    pub env: Environment,
    /// What the configuration file says.
    pub config: Config,
    /// The VMs and what works on them.
    pub engine: Engine,
    /// The standard streams.
    pub terminal: Terminal,
    progress: Progress,
}

impl Context {
    /// Opens everything; the data directory is made on first use.
    pub fn open(terminal: Terminal) -> Result<Self, Failure> {
        Self::with(terminal, data_dir::open)
    }

    /// Opens everything, whatever is wrong with the data directory: for the verb that says so.
    pub fn unchecked(terminal: Terminal) -> Result<Self, Failure> {
        Self::with(terminal, data_dir::locate)
    }

    fn with(
        terminal: Terminal,
        open: impl FnOnce(&Path) -> Result<Layout, DataDirError>,
    ) -> Result<Self, Failure> {
        let env = Environment::read()?;
        let config = Config::read(&env.config)?;
        let registry = Registry::new(open(&env.data)?);
        let engine = Engine {
            registry,
            qemu: env.qemu.clone(),
            mirror: config.mirror.clone(),
            agent: env.agent.clone(),
            keys: env.keys.clone(),
            home: env.home.clone(),
            seat: env.seat.clone(),
            claude: env.claude.clone(),
            config: env.config.clone(),
            flake: flake::Said {
                for_vm: None,
                by_variable: env.flake.clone(),
                by_installation: env.own_flake.clone(),
                by_configuration: config.flake.clone(),
                working_directory: std::env::current_dir().ok(),
            },
        };
        Ok(Self { env, config, engine, terminal, progress: Progress::new(terminal) })
    }

    /// Returns the VMs.
    pub fn registry(&self) -> &Registry {
        &self.engine.registry
    }

    /// Returns the guest family of a VM for which none is asked.
    pub fn default_guest(&self) -> Result<Family, SpecError> {
        let decided = self.env.guest.as_deref().map(str::parse).transpose()?.or(self.config.guest);
        let can_be_made = || if nixos::is_usable() { Family::Nixos } else { Family::Debian };
        Ok(decided.unwrap_or_else(can_be_made))
    }

    /// Runs asynchronous work to its end. Only commands that need it pay for the runtime.
    pub fn block_on<F: Future>(&self, work: F) -> Result<F::Output, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(RuntimeError)?;
        let output = runtime.block_on(work);
        // A thread that still waits for somebody to type must not keep the process.
        runtime.shutdown_background();
        Ok(output)
    }

    /// Says what VMs are doing, in the order of their names.
    pub fn observe(&self, entries: Vec<Entry>) -> Result<Vec<Observed>, Failure> {
        let (mut seen, alive) = observe::glance(&self.engine, entries);
        if !alive.is_empty() {
            seen.extend(self.block_on(observe::look(&self.engine, alive))?);
            seen.sort_by(|a, b| a.entry.name.cmp(&b.entry.name));
        }
        Ok(seen)
    }

    /// Returns a listener that shows what happens to `about`.
    pub fn listener(&self, about: &str) -> Listener {
        let line = Mutex::new(self.progress.line(about));
        Arc::new(move |event| {
            let mut line = line.lock().unwrap_or_else(PoisonError::into_inner);
            match event {
                Event::Step(text) => line.step(&text),
                Event::Passing(text) => line.passing(&text),
                Event::Console(text) => line.detail(&text),
                Event::Bytes { done, total } => line.bytes(done, total),
                Event::Estimate(left) => line.estimate(left),
                Event::Moved { guest, from, to } => line.note(&moved(guest, from, to)),
                Event::Warning(text) => line.warn(&text),
            }
        })
    }

    /// Returns the same for who reads stdout: it says what is not as it should be, and how it is getting on only where
    /// that was asked for.
    pub fn warner(&self, about: &str) -> Listener {
        if self.terminal.mode.is_asked_for() {
            return self.listener(about);
        }
        let line = self.progress.line(about);
        Arc::new(move |event| match event {
            Event::Moved { guest, from, to } => line.note(&moved(guest, from, to)),
            Event::Warning(text) => line.warn(&text),
            Event::Step(_)
            | Event::Passing(_)
            | Event::Console(_)
            | Event::Bytes { .. }
            | Event::Estimate(_) => {}
        })
    }

    /// Returns what shows how things are getting on.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Writes to the terminal while something is shown live.
    pub fn beside_progress(&self, write: impl FnOnce(&Terminal)) {
        self.progress.beside(write);
    }

    /// Opens a stream of this process's, beside what is shown live where it is a terminal.
    pub fn output(&self, stream: impl io::Write + Send + 'static, is_terminal: bool) -> stdio::Output {
        match is_terminal {
            true => stdio::output(self.progress.writer(stream)),
            false => stdio::output(stream),
        }
    }

    /// Writes data to stdout.
    pub fn print(&self, text: &str) -> Result<(), Failure> {
        self.terminal.data(text).map_err(Failure::stdout)
    }

    /// Writes a value to stdout as indented JSON, in which everything that acts on a terminal is escaped.
    pub fn print_json(&self, value: &impl serde::Serialize) -> Result<(), Failure> {
        let text =
            serde_json::to_string_pretty(value).map_err(|error| Failure::stdout(io::Error::from(error)))?;
        self.print(&format!("{}\n", filter::json(&text)))
    }
}

fn moved(guest: Port, from: Port, to: Port) -> String {
    format!("host port {from} is taken, guest port {guest} is now on {to}")
}

//! What every command starts from.

use crate::cli::config::Config;
use crate::cli::failure::Failure;
use crate::host::data_dir;
use crate::host::env::Environment;
use crate::registry::store::Registry;
use crate::ui::terminal::Terminal;

/// The environment, configuration, registry and terminal of one command.
#[derive(Debug)]
pub struct Context {
    /// What the environment says.
    pub env: Environment,
    /// What the configuration file says.
    pub config: Config,
    /// The VMs.
    pub registry: Registry,
    /// The standard streams.
    pub terminal: Terminal,
}

impl Context {
    /// Opens everything; the data directory is made on first use.
    pub fn open(terminal: Terminal) -> Result<Self, Failure> {
        let env = Environment::read()?;
        let config = Config::read(&env.config)?;
        let registry = Registry::new(data_dir::open(&env.data)?);
        Ok(Self { env, config, registry, terminal })
    }

    /// Writes data to stdout.
    pub fn print(&self, text: &str) -> Result<(), Failure> {
        self.terminal.data(text).map_err(Failure::stdout)
    }

    /// Writes a value to stdout as indented JSON. Everything that is not ASCII printable is escaped by the
    /// encoding of control characters in JSON strings, so this is safe on a terminal.
    pub fn print_json(&self, value: &impl serde::Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value).map_err(|error| Failure::stdout(error.into()))?;
        self.print(&format!("{text}\n"))
    }
}

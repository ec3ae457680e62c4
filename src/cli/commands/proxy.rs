//! `ai-vm proxy`: a VM's SSH port as stdin and stdout, for other SSH clients.

use std::io;
use std::time::Duration;

use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::values::{duration, value};
use crate::diagnostic::Diagnostic;
use crate::lifecycle::dial;
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::start::{self, How};
use crate::ssh::raw;
use crate::vm::name::VmName;

/// The exit code when there is no connection, or no longer one: OpenSSH's own.
const NO_CONNECTION: u8 = 255;

/// Connect stdin and stdout to a VM's SSH server, for other SSH clients
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 when the connection was ended, 255 when there was none or it broke.\n\n\
    `ai-vm ssh-config` writes all that OpenSSH needs.\n\n\
    Examples:\n  \
    ssh -o ProxyCommand='ai-vm proxy web' web"
)]
pub struct Args {
    /// The VM
    #[arg(value_name = "NAME", value_parser = value::<VmName>)]
    name: VmName,
    /// Start it if it is stopped
    #[arg(long)]
    start: bool,
    /// How long to wait for a VM that is starting: 90, 5m
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration)]
    timeout: Duration,
}

/// The connection broke.
#[derive(Debug, thiserror::Error)]
#[error("the connection to `{name}` broke")]
struct Broken {
    name: VmName,
    source: io::Error,
}

impl Diagnostic for Broken {}

/// Connects and carries bytes until either side ends.
pub fn run(ctx: &Context, args: &Args) -> Result<u8, Failure> {
    let failed = |error: LifecycleError| Failure::with_code(error, NO_CONNECTION);
    let connection = ctx.block_on(async {
        // Gone when the connection is there: the screen is that of whoever uses it.
        let listener = ctx.listener(args.name.as_str());
        let known = ctx.registry().get(&args.name)?;
        if args.start && !known.guest.is_adopted() {
            start::launch_vm(&ctx.engine, &args.name, How::default(), &listener).await?;
        }
        dial::dial(&ctx.engine, &args.name, args.timeout, &listener).await
    })?;
    match raw::carry(&connection.map_err(failed)?) {
        // Whoever used the connection has left it.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::with_code(Broken { name: args.name.clone(), source: error }, NO_CONNECTION))
        }
        _ => Ok(0),
    }
}

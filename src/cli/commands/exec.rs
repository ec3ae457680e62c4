//! `ai-vm exec`: runs a command in a VM as if it ran here.

use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::time::Duration;

use crate::cli::commands::exec_many::{self, ManyArgs};
use crate::cli::config_sync;
use crate::cli::context::Context;
use crate::cli::failure::{Failure, UsageError};
use crate::cli::targets::Targets;
use crate::cli::values::{duration, value};
use crate::diagnostic::{Diagnostic, LOST};
use crate::fleet::outcome::NOT_RUN;
use crate::host::files;
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::reach::{self, Route};
use crate::lifecycle::start::{self, How};
use crate::ssh::command::RemoteCommand;
use crate::ssh::exec;
use crate::ssh::mux::asked::Asked;
use crate::ssh::program::Program;
use crate::ssh::session::SessionError;
use crate::vm::name::VmName;
use crate::vm::spec::{EnvVar, UserName};

/// The connection was lost while something ran: the same error, with what can be done about it.
#[derive(Debug)]
pub(super) struct Lost {
    pub name: VmName,
    /// Whether it is ours to say what its console says.
    pub has_console: bool,
    /// What follows it again, where it goes on.
    pub again: Option<String>,
    pub error: SessionError,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Error for Lost {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

impl Diagnostic for Lost {
    fn hints(&self) -> Vec<String> {
        let name = &self.name;
        let mut hints: Vec<String> =
            self.again.iter().map(|again| format!("it goes on; come back: `{again}`")).collect();
        hints.push(format!("see whether the VM runs: `ai-vm info {name}`"));
        hints.extend(self.has_console.then(|| format!("see what its console says: `ai-vm logs {name}`")));
        hints
    }
}

/// How a VM is reached by `exec` and `shell`.
#[derive(Clone, Debug, clap::Args)]
pub struct ReachArgs {
    /// Start it if it is stopped
    #[arg(long)]
    pub start: bool,
    /// How long to wait for a VM that is starting: 90, 5m
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration)]
    timeout: Duration,
    /// Use a connection of its own instead of one that is kept between commands
    #[arg(long)]
    no_mux: bool,
}

impl ReachArgs {
    /// Returns the same as the room below has it.
    pub const fn route(&self) -> Route {
        Route { limit: self.timeout, shared: !self.no_mux }
    }
}

/// What a command, or a shell, finds around it.
#[derive(Clone, Debug, clap::Args)]
pub struct Surroundings {
    /// Set a variable
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = value::<EnvVar>)]
    env: Vec<EnvVar>,
    /// Work in this directory of the VM [default: the home directory]
    #[arg(short = 'C', long, value_name = "DIR")]
    cwd: Option<OsString>,
    /// Run as this user of the VM; root is one
    #[arg(short, long, value_name = "USER", value_parser = value::<UserName>)]
    user: Option<UserName>,
}

impl Surroundings {
    /// Tells whether they are those of a plain login.
    pub fn are_plain(&self) -> bool {
        self.env.is_empty() && self.cwd.is_none() && self.user.is_none()
    }

    /// Puts a command into them.
    pub fn around(self, argv: Vec<OsString>) -> Result<Program, Failure> {
        let command = RemoteCommand {
            argv,
            env: self.env.into_iter().map(|var| (var.name, var.value.into())).collect(),
            cwd: self.cwd,
            user: self.user.map(|user| user.to_string()),
            no_input: files::is_null_device(io::stdin()),
        };
        Ok(Program::Command(command.encode().map_err(|error| Failure::with_code(error, NOT_RUN))?))
    }
}

/// Run a command in a VM; its exit code is passed through
#[derive(Debug, clap::Args)]
#[command(override_usage = "ai-vm exec [OPTIONS] NAME... -- COMMAND [ARG]...")]
#[command(after_help = "Examples:\n  \
    ai-vm exec web -- make -j4\n  \
    ai-vm exec web -C app -- git status                   in the folder ~/app\n  \
    ai-vm exec web -- sh -c 'cd /srv && ls | wc -l'       what a shell is to read\n  \
    tar c src | ai-vm exec web -- tar x                  stdin and stdout pass through\n  \
    ai-vm exec -l team=red -- uptime                      in each, a name before each line\n  \
    ai-vm exec web db --json -- df /")]
pub struct Args {
    #[command(flatten)]
    targets: Targets,
    #[command(flatten)]
    reach: ReachArgs,
    /// Give the command a terminal, also when stdin or stdout is none
    #[arg(short, long, overrides_with = "no_tty")]
    tty: bool,
    /// Give the command no terminal
    #[arg(short = 'T', long, overrides_with = "tty")]
    no_tty: bool,
    #[command(flatten)]
    surroundings: Surroundings,
    /// The command and its arguments, exactly as they are to arrive
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
    // Last, because its heading goes on.
    #[command(flatten)]
    many: ManyArgs,
}

/// Runs the command and returns its exit code.
pub fn run(ctx: &Context, args: Args) -> Result<u8, Failure> {
    let tty = if args.tty { true } else { !args.no_tty && ctx.terminal.interactive };
    config_sync::before(ctx, &args.targets, &args.reach, &args.command);
    let program = args.surroundings.around(args.command)?;
    match args.targets.names.as_slice() {
        [name] if !args.many.are_given() => {
            run_in(ctx, name, args.reach.route(), args.reach.start, &program, tty, None)
        }
        _ if args.tty => Err(UsageError {
            message: "`--tty` is for one VM: many cannot share a terminal".to_owned(),
            hint: "leave it away, or name one VM".to_owned(),
        }
        .into()),
        _ => exec_many::run(ctx, &args.targets, &args.reach, &args.many, program),
    }
}

/// Connects to a VM, waiting for it while it starts, and runs a program in it. Where that goes on when the connection is
/// lost, `again` is the command that comes back to it.
pub fn run_in(
    ctx: &Context,
    name: &VmName,
    route: Route,
    start: bool,
    program: &Program,
    tty: bool,
    again: Option<String>,
) -> Result<u8, Failure> {
    let terminal = tty.then(exec::like_ours);
    let not_run = |error: LifecycleError| Failure::with_code(error, NOT_RUN);
    let asked = match start {
        false => reach::ask(&ctx.engine, name, route, program, terminal.as_ref()).map_err(not_run)?,
        true => None,
    };
    if let Some(code) = asked.as_ref().and_then(Asked::ended) {
        return Ok(code);
    }
    ctx.block_on(async {
        let running = {
            // Gone when the command begins: the screen is the command's.
            let listener = ctx.listener(name.as_str());
            if start {
                start::launch_vm(&ctx.engine, name, How::default(), &listener).await.map_err(not_run)?;
            }
            reach::start_asked(&ctx.engine, name, route, program, terminal.as_ref(), asked, &listener)
                .await
                .map_err(not_run)?
        };
        exec::attach(running, terminal.as_ref()).await.map_err(|error| match error {
            SessionError::Lost(_) => {
                let has_console = ctx.registry().get(name).is_ok_and(|record| !record.guest.is_adopted());
                Failure::with_code(Lost { name: name.clone(), has_console, again, error }, LOST)
            }
            other => Failure::with_code(other, NOT_RUN),
        })
    })?
}

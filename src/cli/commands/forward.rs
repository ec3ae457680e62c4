//! `ai-vm forward`: forwards for as long as it runs.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::cli::commands::exec::Lost;
use crate::cli::context::Context;
use crate::cli::failure::{Failure, UsageError};
use crate::cli::values::{duration, value};
use crate::diagnostic::LOST;
use crate::host::files::failed;
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::forward::{self, Forwards};
use crate::lifecycle::ready::Patience;
use crate::ssh::forward::error::ForwardError;
use crate::ssh::forward::{Event, Link, MAX_AUTO, Teller};
use crate::ssh::session::SessionError;
use crate::ssh::signals;
use crate::ui::filter;
use crate::ui::terminal::Terminal;
use crate::vm::forwarding::{LocalForward, PortRange, ReverseForward};
use crate::vm::name::VmName;

/// Forward ports and sockets to and from a VM for as long as this runs
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ai-vm forward web 3000:8000               127.0.0.1:3000 here is port 8000 there\n  \
    ai-vm forward web 8000 auto:9000          the same number, a free one\n  \
    ai-vm forward web 5432:db.internal:5432   a host that the VM reaches\n  \
    ai-vm forward web /tmp/d.sock:/run/docker.sock\n  \
    ai-vm forward web -R 3000:8000            port 3000 there is port 8000 here\n  \
    ai-vm forward web --auto                  whatever it listens on, as long as it does\n\n\
    Each forward is told by a line `forwarding ...` once connections are accepted. Ctrl-C ends them all with code 0; \
    255 means that the connection to the VM was lost. Of a VM's own forwards, which last, `ai-vm port` is in charge.")]
pub struct Args {
    /// The VM
    #[arg(value_name = "NAME", value_parser = value::<VmName>)]
    name: VmName,
    /// What listens here and what it leads to there: a port, HOST:PORT or the path of a Unix socket
    #[arg(value_name = "LISTEN:TARGET", value_parser = value::<LocalForward>)]
    forwards: Vec<LocalForward>,
    /// The other way round: the VM listens, on its loopback, and connections arrive here
    #[arg(short = 'R', long, value_name = "LISTEN:TARGET", value_parser = value::<ReverseForward>)]
    reverse: Vec<ReverseForward>,
    /// Forward what the VM listens on, on the same port where it is free, else on a free one
    #[arg(long)]
    auto: bool,
    /// With --auto only these ports of the VM: 3000-3999,8080
    #[arg(long, value_name = "PORTS", requires = "auto", value_delimiter = ',', value_parser = value::<PortRange>)]
    only: Vec<PortRange>,
    /// The address here that listens, not for --auto. Anything but loopback opens the ports to the network
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    bind: IpAddr,
    /// How long to wait for a VM that is starting: 90, 5m
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration)]
    timeout: Duration,
    /// Also print an object a line to stdout: event (open, closed, refused), vm, reverse, listen, target
    #[arg(long)]
    json: bool,
    /// Do not say what is forwarded
    #[arg(short, long)]
    quiet: bool,
}

/// An event as `--json` shows it. Keys are only ever added.
#[derive(Serialize)]
struct Row<'a> {
    event: &'static str,
    vm: &'a VmName,
    reverse: bool,
    listen: &'a str,
    target: &'a str,
}

/// Forwards until it is told to end.
pub fn run(ctx: &Context, args: Args) -> Result<u8, Failure> {
    if args.forwards.is_empty() && args.reverse.is_empty() && !args.auto {
        let error = UsageError {
            message: "`ai-vm forward` needs to know what to forward".to_owned(),
            hint: format!(
                "`ai-vm forward {name} 3000:8000`, or `ai-vm forward {name} --auto`",
                name = args.name
            ),
        };
        return Err(error.into());
    }
    let name = args.name;
    if !args.bind.is_loopback() {
        ctx.terminal.warn(&format!("{name}: the ports listen on {}, open to the network", args.bind));
    }
    let forwards = Forwards {
        local: args.forwards,
        reverse: args.reverse,
        bind: args.bind,
        auto: args.auto.then_some(args.only),
    };
    let record = ctx.registry().get(&name)?;
    let teller = teller(ctx.terminal, name.clone(), args.quiet, args.json);
    let patience = Patience::of(args.timeout);
    ctx.block_on(async {
        let stop = signals::end().map_err(failed("wait for signals of", "/proc/self".as_ref()))?;
        let listener = ctx.listener(name.as_str());
        match forward::run(&ctx.engine, &name, &forwards, patience, listener, &teller, stop).await {
            Ok(()) => Ok(0),
            Err(LifecycleError::Forward(ForwardError::Lost)) => {
                let error = SessionError::Lost(None);
                let has_console = !record.guest.is_adopted();
                Err(Failure::with_code(Lost { name: name.clone(), has_console, again: None, error }, LOST))
            }
            Err(error) => Err(error.into()),
        }
    })?
}

/// Returns what shows events.
fn teller(terminal: Terminal, name: VmName, quiet: bool, json: bool) -> Teller {
    Arc::new(move |event| {
        let (word, link) = match &event {
            Event::Opened(link) => ("open", link),
            Event::Closed(link) => ("closed", link),
            Event::Refused(link, _) => ("refused", link),
            Event::Watching if quiet => return,
            Event::Watching => return terminal.status(&format!("watching what {name} listens on")),
            Event::TooMany => {
                return terminal.warn(&format!(
                    "{name} listens on many ports, of which {MAX_AUTO} are forwarded; choose with `--only`"
                ));
            }
        };
        let shown = shown(link, &name);
        match &event {
            Event::Refused(_, why) => terminal.warn(&filter::one_line(&format!("{shown}: {why}"))),
            Event::Opened(_) if !quiet => terminal.status(&format!("forwarding {shown}")),
            Event::Closed(_) if !quiet => terminal.status(&format!("no longer forwarding {shown}")),
            _ => {}
        }
        if json {
            let Link { reverse, listen, goal } = link;
            let row = Row { event: word, vm: &name, reverse: *reverse, listen, target: goal };
            if let Ok(line) = serde_json::to_string(&row) {
                // Forwarding goes on when nobody reads what is forwarded.
                let _ = terminal.data(&format!("{}\n", filter::json(&line)));
            }
        }
    })
}

fn shown(Link { reverse, listen, goal }: &Link, name: &VmName) -> String {
    if *reverse { format!("{name}:{listen} -> {goal}") } else { format!("{listen} -> {name}:{goal}") }
}

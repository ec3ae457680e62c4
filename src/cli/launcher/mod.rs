//! `ai-vm` alone: menus to open a shell in a VM, or to make one.
//!
//! What is decided in them is a command line. It is shown, and the program becomes it: a VM is made in one way only, and
//! what was picked can be scripted.

mod form;
mod machine;
mod paths;
mod ports;
mod shares;
mod values;
mod vms;
mod wish;

use std::ffi::OsString;
use std::io;

use crate::cli::context::Context;
use crate::cli::failure::{Failure, UsageError, paste};
use crate::cli::global::GlobalArgs;
use crate::cli::launcher::machine::Machine;
use crate::diagnostic::Diagnostic;
use crate::host::program;
use crate::ui::dialog::{Dialog, Left};
use crate::ui::terminal::Terminal;

/// What menus came to.
#[derive(Debug, PartialEq, Eq)]
enum Decision {
    /// To do this.
    Run(Vec<OsString>),
    /// To show how this is typed.
    Print(Vec<OsString>),
}

/// Menus that could not be shown, or what was picked in them could not be done.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
struct LauncherError {
    what: &'static str,
    #[source]
    source: io::Error,
}

impl Diagnostic for LauncherError {}

/// Opens the menus and does what is picked, with what was typed that goes with every verb.
pub fn run(terminal: Terminal, global: GlobalArgs) -> Result<u8, Failure> {
    may_show(&terminal)?;
    let ctx = Context::open(terminal)?;
    let (vms, machine) = (vms::seen(&ctx)?, Machine::look(&ctx)?);
    let decided = ctx.block_on(async {
        let mut dialog = Dialog::open(&ctx.terminal)?;
        vms::menus(&ctx, &mut dialog, &vms, &machine).await
    })?;
    match decided {
        Ok(None) => Ok(0),
        Ok(Some(Decision::Print(words))) => ctx.print(&format!("{}\n", line(&words))).map(|()| 0),
        Ok(Some(Decision::Run(mut words))) => {
            words.extend(global.words());
            ctx.terminal.status(&format!("without menus: {}", line(&words)));
            let source = program::become_ourselves(&words);
            Err(LauncherError { what: "cannot run ai-vm", source }.into())
        }
        Err(Left::By(code)) => Err(Failure::Shown(code)),
        Err(Left::Terminal(source)) => {
            Err(LauncherError { what: "cannot show menus on this terminal", source }.into())
        }
    }
}

/// Tells why menus cannot be shown here, if that is so.
fn may_show(terminal: &Terminal) -> Result<(), UsageError> {
    let why = match (terminal.interactive && terminal.stderr, !terminal.no_input, terminal.draws) {
        (false, ..) => "there is no terminal here",
        (_, false, _) => "nothing may be asked here (`--no-input`)",
        (.., false) => "this terminal cannot draw lines anew (`TERM`)",
        (true, true, true) => return Ok(()),
    };
    let hint = "`ai-vm ls` lists VMs, `ai-vm shell NAME` opens a shell in one, `ai-vm up NAME` makes one; `ai-vm --help` \
        tells the rest";
    Err(UsageError { message: format!("`ai-vm` alone opens menus, and {why}"), hint: hint.to_owned() })
}

/// Writes a command line as a shell reads it.
fn line(words: &[OsString]) -> String {
    format!("ai-vm {}", paste(words))
}

//! `ai-vm complete-place`: what a place that is being typed for `cp` can become. For the completions of shells.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::lifecycle::reach::{self, Route};
use crate::ssh::command::RemoteCommand;
use crate::ssh::program::{Program, Streams};
use crate::transfer::bridge::Kept;
use crate::ui::filter;
use crate::vm::name::VmName;

/// How long somebody who has pressed a key waits.
const PATIENCE: Duration = Duration::from_secs(1);

/// The most bytes of a VM's files that are shown.
const MAX_FILES: usize = 64 * 1024;

/// Prints the files whose paths begin with its argument, each ended by NUL; directories end in `/`.
const LIST: &str = r#"
    cd -- "${HOME:-/}" || exit
    for path in "$1"*; do
      if [ -d "$path" ]; then
        printf '%s/\0' "$path"
      elif [ -e "$path" ] || [ -L "$path" ]; then
        printf '%s\0' "$path"
      fi
    done"#;

/// Print what a place that is being typed for `cp` can become; for completions
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What has been typed
    #[arg(allow_hyphen_values = true)]
    typed: OsString,
}

/// Prints what it can become, each on a line: names of VMs with a colon, or files in one.
pub fn run(ctx: &Context, args: &Args) -> Result<u8, Failure> {
    let typed = args.typed.as_bytes();
    let Some(at) = typed.iter().position(|byte| matches!(byte, b':' | b'/')) else {
        return ctx.print(&names(ctx, &args.typed.to_string_lossy())?).map(|()| 0);
    };
    let (names, path) = typed.split_at(at);
    let names = String::from_utf8_lossy(names);
    let name = names.rsplit(',').next().and_then(|name| name.parse::<VmName>().ok());
    if let (Some(name), Some(path)) = (name, path.strip_prefix(b":")) {
        let found = ctx.block_on(async { timeout(PATIENCE, files(ctx, &name, path)).await })?;
        let found = found.ok().flatten().unwrap_or_default();
        // A name that could do something to a terminal, or make a line look like another, has to be typed.
        let is_plain = |path: &&str| !path.contains(['\n', '\t']) && filter::lines(path) == *path;
        let shown = found.split_terminator('\0').filter(is_plain);
        ctx.print(&shown.map(|path| format!("{names}:{path}\n")).collect::<String>())?;
    }
    Ok(0)
}

/// Returns the names that the last of those that were typed can become.
fn names(ctx: &Context, typed: &str) -> Result<String, Failure> {
    let (before, begun) = typed.rsplit_once(',').map_or(("", typed), |(before, begun)| (before, begun));
    let before = if typed.contains(',') { format!("{before},") } else { String::new() };
    let all = ctx.registry().list()?.into_iter().map(|entry| entry.name);
    let fitting = all.filter(|name| name.as_str().starts_with(begun));
    Ok(fitting.map(|name| format!("{before}{name}:\n")).collect())
}

/// Asks a VM for its files; `None` when it cannot be asked.
async fn files(ctx: &Context, name: &VmName, begun: &[u8]) -> Option<String> {
    let argv =
        [OsStr::new("sh"), OsStr::new("-c"), OsStr::new(LIST), OsStr::new("sh"), OsStr::from_bytes(begun)];
    let command = RemoteCommand { argv: argv.map(OsStr::to_owned).into(), ..RemoteCommand::default() };
    let program = Program::Command(command.encode().ok()?);
    let route = Route { limit: PATIENCE, shared: true };
    let running =
        reach::start(&ctx.engine, name, route, &program, None, &(Arc::new(|_| {}) as _)).await.ok()?;
    let (stdout, stderr) = (Kept::up_to(MAX_FILES), Kept::up_to(0));
    let streams = Streams { stdin: mpsc::channel(1).1, stdout: stdout.clone(), stderr };
    let (_control, requests) = mpsc::channel(1);
    running.pump(streams, requests).await.ok()?;
    let text = stdout.text();
    // The last one may have been cut off.
    text.rfind('\0').map(|end| text.get(..=end).unwrap_or_default().to_owned())
}

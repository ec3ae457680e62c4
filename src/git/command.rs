//! Git commands that do nothing but what they are for, whatever configuration there is.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::git::error::GitError;
use crate::host::{process, program};

/// How long git may take for something that needs nobody else.
pub const LIMIT: Duration = Duration::from_secs(300);

/// What is said to each git. Hooks, file system monitors, credential helpers and housekeeping stay away; what is fetched is
/// checked, object by object; no way to another machine is open (each use opens the one that it needs); a server may name
/// no other place for packs (`git help config`).
const SETTINGS: [&str; 17] = [
    "protocol.allow=never",
    "protocol.version=0",
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.pager=cat",
    "credential.helper=",
    "gc.auto=0",
    "maintenance.auto=false",
    "transfer.fsckObjects=true",
    "fetch.fsckObjects=true",
    "fetch.uriProtocols=",
    "fetch.recurseSubmodules=false",
    "submodule.recurse=false",
    "transfer.bundleURI=false",
    "sideband.allowControlCharacters=false",
    "log.showSignature=false",
    "color.ui=false",
];

/// What is said to a git that works apart from the user's settings.
const APART: [&str; 5] = [
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    // One pack, never a million files.
    "fetch.unpackLimit=1",
    // What is larger is neither taken into memory nor compared line by line.
    "core.bigFileThreshold=16m",
    "core.quotePath=true",
];

/// Returns git, with the user's configuration, in a directory.
pub fn ours(dir: &Path) -> Result<Command, GitError> {
    let mut command = bare(dir)?;
    settings(&mut command, &SETTINGS);
    Ok(command)
}

/// Returns git for a repository of ours, by no configuration but its own.
pub fn apart(git_dir: &Path) -> Result<Command, GitError> {
    let mut command = bare(git_dir)?;
    command.env("GIT_DIR", git_dir).env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    command.env("GIT_ATTR_NOSYSTEM", "1").env("GIT_NO_REPLACE_OBJECTS", "1");
    settings(&mut command, &SETTINGS);
    settings(&mut command, &APART);
    Ok(command)
}

/// Opens one way to another repository.
pub fn allow(command: &mut Command, protocol: &str) {
    command.arg("-c").arg(format!("protocol.{protocol}.allow=always"));
}

/// Runs git and returns what it says, without the end of the line.
pub fn ask<I, A>(command: &mut Command, args: I) -> Result<String, GitError>
where
    I: IntoIterator<Item = A>,
    A: Into<OsString>,
{
    command.args(args.into_iter().map(Into::into));
    let said = process::output(command, LIMIT)?;
    Ok(String::from_utf8_lossy(&said).trim_end_matches('\n').to_owned())
}

/// Gives a program that talks by its stdin and stdout the descriptors 3 and 4 for that, because git keeps the first two
/// for itself. (`git help remote-fd`)
pub fn talking(git: &Command) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null", "git"]);
    command.arg(git.get_program()).args(git.get_args());
    for (name, value) in git.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    if let Some(dir) = git.get_current_dir() {
        command.current_dir(dir);
    }
    command
}

/// The address of what is at the other end of those.
pub const PEER: &str = "fd::3,4";

fn bare(dir: &Path) -> Result<Command, GitError> {
    let mut command = Command::new(program::find("git", "git")?);
    // A variable of git's could lead it elsewhere, or let it run something.
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"GIT_") {
            command.env_remove(name);
        }
    }
    command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_OPTIONAL_LOCKS", "0").env("GIT_ASKPASS", "false");
    command.current_dir(dir);
    Ok(command)
}

fn settings(command: &mut Command, settings: &[&str]) {
    for setting in settings {
        command.args(["-c", setting]);
    }
}

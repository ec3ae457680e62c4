//! The scripts that run in a guest, how they are called, and what their ends mean.

use std::ffi::{OsStr, OsString};

use crate::ssh::command::{RemoteCommand, TooLong};
use crate::ssh::program::Program;
use crate::transfer::location::Place;
use crate::vm::name::VmName;

const PUSH: &str = include_str!("push.sh");
const PULL: &str = include_str!("pull.sh");
const LIST: &str = include_str!("list.sh");

/// The exit code of a script that finds its disk full.
const NO_SPACE: u8 = 92;

/// What the system says of a disk that is full.
const FULL: &str = "No space left on device";

/// Which side of a copy is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Where it comes from, which has to be there.
    Source,
    /// Where it goes.
    Target,
}

/// What a guest's destination is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// A directory if it is one, otherwise the name to be.
    Exact,
    /// A directory, which is made where there is none.
    Into,
    /// The name to be of a file whose bytes are sent as they are, ended by the word.
    File,
}

/// The command that receives files at a place.
pub fn push(place: &Place, how: How, token: &str) -> Result<Program, TooLong> {
    let how = match how {
        How::Exact => "exact",
        How::Into => "into",
        How::File => "file",
    };
    script(PUSH, &[&place.path, &place.parent, OsStr::new(how), OsStr::new(token)])
}

/// The command that sends files.
pub fn pull<'a>(places: impl Iterator<Item = &'a Place>, recursive: bool) -> Result<Program, TooLong> {
    let mut args = vec![OsStr::new(if recursive { "tree" } else { "follow" })];
    for place in places {
        let (dir, name) = place.source();
        args.extend([dir, name]);
    }
    script(PULL, &args)
}

/// The command that sends the files whose names it reads.
pub fn pull_listed(place: &Place) -> Result<Program, TooLong> {
    let (dir, name) = place.source();
    script(PULL, &[OsStr::new("list"), dir, name])
}

/// The command that lists what is there: the name in the directory, or, at the target, what is in the place of the
/// directory if it is none.
pub fn list(side: Side, recursive: bool, dir: &OsStr, name: &OsStr, sums: bool) -> Result<Program, TooLong> {
    let side = if side == Side::Source { "source" } else { "target" };
    let how = if recursive { "tree" } else { "follow" };
    let sums = if sums { "yes" } else { "no" };
    script(LIST, &[OsStr::new(side), OsStr::new(how), dir, name, OsStr::new(sums)])
}

fn script(text: &str, args: &[&OsStr]) -> Result<Program, TooLong> {
    let argv = ["sh", "-c", text, "ai-vm-cp"].into_iter().map(OsStr::new).chain(args.iter().copied());
    let argv = argv.map(OsString::from).collect();
    Ok(Program::Command(RemoteCommand { argv, ..RemoteCommand::default() }.encode()?))
}

/// Says what an exit code other than 0 of a script means: a message, and a hint. `to` is where it was to write.
pub fn meaning(name: &VmName, to: Option<&Place>, code: u8, said: &str) -> (String, Option<String>) {
    let (reason, hint) = match code {
        80 => ("the home directory there cannot be entered", None),
        81 => ("there is no GNU tar", Some("install the package `tar` there")),
        82 => ("the destination is a directory, so the file that comes from stdin needs a name", None),
        83 => ("the destination is not a directory", None),
        84 => (
            "the directory of the destination does not exist",
            Some("make it with `ai-vm exec NAME -- mkdir -p DIR`"),
        ),
        85 => ("no directory for what arrives can be made beside the destination", None),
        86 => ("what arrives cannot be written", None),
        87 => ("not everything arrived", None),
        88 => ("not everything could be put in its place", None),
        89 => ("not everything could be removed", None),
        90 => ("the source is a directory", Some("copy it with what is in it: `ai-vm cp -r`")),
        91 => ("nothing of what was asked for is there", None),
        93 => ("there is no GNU find, which comparing needs", Some("install the package `findutils` there")),
        _ => ("the command there failed", None),
    };
    // Tar says only of some writes why they failed, and then of every file.
    let is_full = code == NO_SPACE || said.contains(FULL);
    let (reason, hint, said) = match is_full {
        true => {
            (FULL, Some("free some space there, nothing was left behind: `ai-vm exec NAME -- df -h`"), "")
        }
        false => (reason, hint, said.trim_end()),
    };
    let to = to.map(|to| format!("cannot copy to `{}`: ", to.path.to_string_lossy())).unwrap_or_default();
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    (format!("{to}{reason}{said}"), hint.map(|hint| hint.replace("NAME", name.as_str())))
}

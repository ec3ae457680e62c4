//! The scripts that run in a guest, how they are called, and what their ends mean.

use std::ffi::{OsStr, OsString};

use crate::git::repository::Source;
use crate::ssh::command::{RemoteCommand, TooLong};
use crate::ssh::program::Program;
use crate::vm::name::VmName;

const SERVE: &str = include_str!("serve.sh");
const RECEIVE: &str = include_str!("receive.sh");

/// What the receiving script says on stderr when the branch is not what is checked out there.
const STAYS: &str = "AI-VM stays";

/// The command that offers a repository. What it makes for this has the token in its name.
pub fn serve(dir: &OsStr, token: &str, working: bool) -> Result<Program, TooLong> {
    script(SERVE, &[dir, OsStr::new(token), yes(working)])
}

/// What a repository that is made in a guest has from the one here.
#[derive(Clone, Debug)]
pub struct Heritage {
    /// The name by which commits are signed there, where nothing else is said; may be empty.
    pub name: String,
    /// The e-mail address, likewise.
    pub email: String,
    /// How objects are named.
    pub format: String,
}

/// The command that receives a branch.
pub fn receive(dir: &OsStr, source: &Source, force: bool, heritage: &Heritage) -> Result<Program, TooLong> {
    let Heritage { name, email, format } = heritage;
    let [branch, name, email, format] = [&source.branch, name, email, format].map(OsStr::new);
    script(RECEIVE, &[dir, branch, yes(force), name, email, format])
}

/// Tells whether something else stays checked out, by what the receiving script said.
pub fn stays(said: &str) -> bool {
    said.lines().any(|line| line == STAYS)
}

fn yes(is_so: bool) -> &'static OsStr {
    OsStr::new(if is_so { "yes" } else { "no" })
}

fn script(text: &str, args: &[&OsStr]) -> Result<Program, TooLong> {
    let argv = ["sh", "-c", text, "ai-vm-git"].into_iter().map(OsStr::new).chain(args.iter().copied());
    let argv = argv.map(OsString::from).collect();
    Ok(Program::Command(RemoteCommand { argv, ..RemoteCommand::default() }.encode()?))
}

/// Says what an exit code of a script's own means: a message, and a hint.
pub fn meaning(vm: &VmName, code: u8) -> Option<(&'static str, Option<String>)> {
    let of = |reason, hint: Option<&str>| Some((reason, hint.map(|hint| hint.replace("NAME", vm.as_str()))));
    match code {
        70 => of("the home directory there cannot be entered", None),
        71 => of("there is no git", Some("install the package `git` there")),
        72 => of("the folder is not there", Some("bring the repository there with `ai-vm push NAME`")),
        73 => of("the folder is not a git repository that can be used", None),
        74 => of("the repository there has no work tree", None),
        75 => of(
            "git there could not keep what is not committed",
            Some("is the disk full? `ai-vm exec NAME -- df -h`"),
        ),
        76 => of("the repository cannot be made there", None),
        77 => of(
            "the folder there has files and is not a git repository",
            Some("name another one: `ai-vm push NAME --to DIR`"),
        ),
        79 => of("the command there was ended", None),
        _ => None,
    }
}

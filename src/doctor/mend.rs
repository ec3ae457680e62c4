//! Does what findings say can be done, without ever asking anybody.

use std::error::Error;
use std::process::Command;
use std::time::Duration;

use crate::doctor::finding::{Finding, Level, Remedy};
use crate::host::{process, program};

/// How long a package manager may take.
const LIMIT: Duration = Duration::from_secs(900);

/// How long `sudo` may take to say whether it would ask.
const SUDO: Duration = Duration::from_secs(10);

/// Mends what can be mended, and returns the findings that something was done about.
pub fn all(findings: Vec<Finding>, on_step: &mut dyn FnMut(&str)) -> Vec<Mended> {
    let mut root = None;
    findings.into_iter().filter_map(|finding| one(finding, &mut root, on_step)).collect()
}

/// A finding that something was done about.
pub struct Mended {
    /// What had been found.
    pub finding: Finding,
    /// Why it did not work out, where it did not.
    pub problem: Option<String>,
}

fn one(
    mut finding: Finding,
    root: &mut Option<Option<Command>>,
    on_step: &mut dyn FnMut(&str),
) -> Option<Mended> {
    if finding.level == Level::Ok {
        return None;
    }
    let problem = match std::mem::take(&mut finding.remedy) {
        Remedy::Person => return None,
        Remedy::Ours(mend) => mend().err().map(|error| {
            let all = std::iter::successors(Some(error.as_ref() as &dyn Error), |&error| error.source());
            all.map(ToString::to_string).collect::<Vec<_>>().join(": ")
        }),
        Remedy::Root(words) => {
            let (name, arguments) = words.split_first()?;
            // Nobody can do it here, or only with a password: the hint stays.
            let is_there = program::find(name, "").is_ok();
            let prefix = root.get_or_insert_with(as_root).as_ref().filter(|_| is_there)?;
            let mut command = same(prefix);
            command.arg(name).args(arguments);
            on_step(&words.join(" "));
            process::output(&mut command, LIMIT).err().map(|error| error.to_string())
        }
    };
    Some(Mended { finding, problem })
}

/// Returns what runs a program as root without asking for a password, if anything does.
fn as_root() -> Option<Command> {
    if rustix::process::geteuid().is_root() {
        // apt-get asks questions of packages otherwise.
        let mut env = Command::new("env");
        env.arg("DEBIAN_FRONTEND=noninteractive");
        return Some(env);
    }
    let mut sudo = Command::new(program::find("sudo", "sudo").ok()?);
    sudo.args(["-n", "env", "DEBIAN_FRONTEND=noninteractive"]);
    process::output(same(&sudo).arg("true"), SUDO).ok()?;
    Some(sudo)
}

fn same(command: &Command) -> Command {
    let mut copy = Command::new(command.get_program());
    copy.args(command.get_args());
    copy
}

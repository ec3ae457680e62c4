//! What was typed, as it was understood.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser};

use crate::cli::commands::{exec, launch};
use crate::cli::global::GlobalArgs;
use crate::cli::root::{Cli, Command};

/// What was typed.
#[derive(Debug)]
pub struct Typed {
    /// What goes with every verb.
    pub global: GlobalArgs,
    /// What is to be done.
    pub what: What,
}

/// What is to be done.
#[derive(Debug)]
pub enum What {
    /// What a verb says.
    Verb(Box<Command>),
    /// Make a VM and run it here.
    Launch(Box<launch::Args>),
    /// Open menus: nothing was said.
    Menus,
}

/// Reads what was typed, the program's name first.
pub fn parse(typed: Vec<OsString>) -> Result<Typed, clap::Error> {
    if let Some(typed) = alone(&typed) {
        return Ok(typed);
    }
    let mut root = Cli::command();
    let matches = root.try_get_matches_from_mut(typed)?;
    // clap's own checks take arguments of every verb for those of none.
    let of_launch = of_launch(&root, &matches);
    if let (Some(verb), Some(name)) = (matches.subcommand_name(), &of_launch) {
        let message = format!("the argument '{name}' runs a VM here and cannot be used with '{verb}'");
        return Err(root.error(ErrorKind::ArgumentConflict, message));
    }
    let Cli { global, command, launch } =
        Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut root))?;
    let what = match command {
        Some(command) => What::Verb(Box::new(command)),
        None if of_launch.is_some() => What::Launch(Box::new(launch)),
        None => What::Menus,
    };
    Ok(Typed { global, what })
}

/// `exec` without the other verbs.
#[derive(Debug, Parser)]
struct Exec {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(flatten)]
    args: exec::Args,
}

/// Reads `exec`, which loops run, by itself: what is built to read every verb takes a tenth of the time of such a command.
/// What cannot be read so is read as a whole, which knows how to say what is wrong.
fn alone(typed: &[OsString]) -> Option<Typed> {
    let line = typed.get(1..).filter(|line| line.first().is_some_and(|verb| verb == "exec"))?;
    let Exec { global, args } = Exec::try_parse_from(line).ok()?;
    Some(Typed { global, what: What::Verb(Box::new(Command::Exec(args))) })
}

/// Returns an argument that was typed of those without a verb.
fn of_launch(root: &clap::Command, matches: &ArgMatches) -> Option<String> {
    let is_typed = |id: &clap::Id| matches.value_source(id.as_str()) == Some(ValueSource::CommandLine);
    let mut typed = matches.ids().filter(|id| is_typed(id));
    // Among them are names of groups, which are no arguments.
    let arg =
        typed.find_map(|id| root.get_arguments().find(|arg| arg.get_id() == id && !arg.is_global_set()))?;
    Some(format!("--{}", arg.get_long().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::mode::Choice;

    fn words(typed: &str) -> Vec<OsString> {
        typed.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn before_the_verb_or_after_it() {
        for typed in
            ["ai-vm --progress json ls", "ai-vm ls --progress=json", "ai-vm image --progress json ls"]
        {
            let Typed { global, what } = parse(words(typed)).unwrap();
            assert_eq!(global.progress().unwrap(), Choice::Json, "{typed}");
            assert!(matches!(what, What::Verb(_)) && !global.no_input, "{typed}");
            assert_eq!(global.words(), ["--progress", "json"]);
        }
        for typed in ["ai-vm --no-input ls", "ai-vm ls --no-input", "ai-vm share ls --no-input"] {
            let Typed { global, what } = parse(words(typed)).unwrap();
            assert!(global.no_input && matches!(what, What::Verb(_)), "{typed}");
        }
        assert!(parse(words("ai-vm --progress loud ls")).unwrap_err().to_string().contains("plain"));
    }

    #[test]
    fn what_runs_a_vm_here_goes_with_no_verb() {
        for typed in ["ai-vm --name web ls", "ai-vm --ram 8 --progress json up web", "ai-vm --dir . ls"] {
            let said = parse(words(typed)).map_or_else(|error| error.to_string(), |_| String::new());
            assert!(said.contains("cannot be used with"), "{typed}: {said}");
        }
        // Nothing is run because of how it would be shown.
        for (typed, is_bare) in [
            ("", true),
            (" --progress plain", true),
            (" --no-input", true),
            (" --name ai-vm", false),
            (" --ram 8", false),
        ] {
            let what = parse(words(&format!("ai-vm{typed}"))).unwrap().what;
            assert_eq!(matches!(what, What::Menus), is_bare, "{typed}");
            assert_eq!(matches!(what, What::Launch(_)), !is_bare, "{typed}");
        }
    }

    /// Reads a line as a whole.
    fn whole(typed: &[OsString]) -> Result<(GlobalArgs, Option<Command>), clap::Error> {
        Cli::try_parse_from(typed).map(|cli| (cli.global, cli.command))
    }

    #[test]
    fn exec_is_read_alone_as_with_all_verbs() {
        for typed in [
            "exec web -- true",
            "exec web db --json -- df -h / --all",
            "exec web -C app -e A=b --env C=d -u root -- exec ls --help",
            "exec -tT --no-mux --timeout 90 web -- a",
            "exec --start --no-input web -- a -- b",
            "exec web --progress json -- a",
            "exec -l team=red -j 4 --fail-fast --run-timeout 5 -- a",
            "exec --all --group --no-prefix --stdin -- a",
        ] {
            let typed = words(&format!("ai-vm {typed}"));
            let Typed { global, what: What::Verb(verb) } = alone(&typed).unwrap() else {
                panic!("{typed:?}")
            };
            assert_eq!(format!("{:?}", (global, Some(*verb))), format!("{:?}", whole(&typed).unwrap()));
        }
    }

    #[test]
    fn what_exec_does_not_understand_is_told_as_by_all_verbs() {
        for typed in [
            "exec",
            "exec web",
            "exec web ls",
            "exec --help",
            "exec -h",
            "exec --rum 8 web -- a",
            "exec a/b -- a",
        ] {
            let typed = words(&format!("ai-vm {typed}"));
            assert!(alone(&typed).is_none(), "{typed:?}");
            let told = parse(typed.clone()).unwrap_err().to_string();
            assert_eq!(told, whole(&typed).unwrap_err().to_string());
        }
        for typed in ["--no-input exec web -- a", "ls exec", "execute web -- a", "shell web -- exec"] {
            assert!(alone(&words(&format!("ai-vm {typed}"))).is_none(), "{typed}");
        }
    }
}

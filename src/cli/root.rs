//! The command line as clap sees it.

use std::ffi::OsString;

use clap::builder::FalseyValueParser;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::cli::commands::{
    adopt, agents, claude, complete, config, cp, create, creds, diff, doctor, exec, fetch, forward, generate,
    image, info, launch, logs, ls, port, proxy, push, rebuild, restart, rm, run, share, shell, ssh_config,
    ssh_keys, start, stop, sync, trust, up, wait, words,
};

/// A fleet of named virtual machines on this workstation, so that coding agents can work at full permission
/// without touching the host.
#[derive(Debug, Parser)]
#[command(name = "ai-vm", version, max_term_width = 100, disable_help_subcommand = true)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 conflict, 5 timeout.\n\
    `exec`, `shell`, `rebuild` and `run` pass the guest's exit code through; 125 means that ai-vm failed before anything \
    ran, 255 that the connection was lost.\n\n\
    Start here: `ai-vm` alone, at a terminal, opens menus: to open a shell in a VM, or to make one.\n\
    Or by hand: ai-vm up NAME && ai-vm shell NAME\n\
    Or in the foreground, with its console: ai-vm --ram 16 --cpu 8 --storage 100 --name NAME")]
#[command(override_usage = "ai-vm\n       ai-vm [OPTIONS]\n       ai-vm <COMMAND>")]
pub struct Cli {
    /// What to do; without it, and with options of a VM, that is made and run here; without anything menus are opened.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Never ask anything, as with AI_VM_NO_INPUT=1: what would be asked is an error, which names what answers it
    #[arg(long, global = true, env = "AI_VM_NO_INPUT", value_parser = FalseyValueParser::new(), hide_env = true)]
    pub no_input: bool,
    /// Whether neither a verb nor a VM was typed.
    #[arg(skip)]
    pub is_bare: bool,
    /// What to make and run without a verb.
    #[command(flatten)]
    pub launch: launch::Args,
}

impl Cli {
    /// Reads a command line, of which the first word is the program.
    pub fn read(words: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let mut command = Self::command();
        let matches = command.try_get_matches_from_mut(words)?;
        let of_vm = of_vm(&command, &matches);
        if let (Some(option), Some(verb)) = (&of_vm, matches.subcommand_name()) {
            // clap's own setting for this would count options that every verb takes.
            let message = format!("`{option}` before `{verb}` is not for a verb: write it behind");
            return Err(command.error(ErrorKind::ArgumentConflict, message));
        }
        let is_bare = of_vm.is_none() && matches.subcommand_name().is_none();
        Ok(Self { is_bare, ..Self::from_arg_matches(&matches)? })
    }
}

/// Returns an option that was typed and is one of a VM that is run here.
fn of_vm(command: &clap::Command, matches: &ArgMatches) -> Option<String> {
    let of_vm = command.get_arguments().filter(|arg| !arg.is_global_set());
    let mut typed =
        of_vm.filter(|arg| matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine));
    typed.find_map(|arg| arg.get_long().map(|long| format!("--{long}")))
}

/// The verbs.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum Command {
    /// Create VMs that do not exist, start them, and wait until they are ready
    Up(up::Args),
    /// Register VMs: names, hardware, ports. Makes no image and boots nothing unless --start
    Create(create::Args),
    /// Register a machine that something else runs, to reach it like a VM
    Adopt(adopt::Args),
    /// Start VMs and wait until they are ready
    Start(start::Args),
    /// Power VMs off; their files stay
    Stop(stop::Args),
    /// Stop VMs and start them again
    Restart(restart::Args),
    /// Remove VMs with their disks
    Rm(rm::Args),
    /// List VMs
    #[command(visible_alias = "list")]
    Ls(ls::Args),
    /// Show everything about VMs
    Info(info::Args),
    /// Run a command in a VM; its exit code is passed through
    Exec(exec::Args),
    /// Begin a session of Claude Code in a VM that goes on by itself, or come back to it
    Claude(claude::Args),
    /// List what agents do in all VMs; connect to one, show what it said, send it something, wait for it, end it
    Agents(agents::Args),
    /// Give agents in VMs a prompt, wait for what they make of it, and show that side by side
    Run(run::Args),
    /// Let VMs apply their own configuration; goes on by itself when the connection is lost
    Rebuild(rebuild::Args),
    /// Copy files into VMs, out of them, and between them
    Cp(cp::Args),
    /// Bring a branch of this git repository into VMs
    Push(push::Args),
    /// Fetch what was committed in VMs into this git repository, as `ai-vm-NAME/BRANCH`, and say what deserves a look
    Fetch(fetch::Args),
    /// Show what a VM's work changes
    Diff(diff::Args),
    /// Agree to what a repository's `.ai-vm.toml` asks of this machine
    Trust(trust::Args),
    /// Open a login shell in a VM
    Shell(shell::Args),
    /// Show what a VM wrote to its console, or what QEMU said
    Logs(logs::Args),
    /// Wait until VMs are ready, stopped, or something holds in them: a port, a file, a command
    Wait(wait::Args),
    /// Forward ports and sockets to and from a VM for as long as this runs
    Forward(forward::Args),
    /// List, add and remove forwarded ports
    Port(port::Args),
    /// List, add and remove folders of this machine that VMs see
    Share(share::Args),
    /// Show, give, fetch and remove the logins of Claude Code in VMs
    Creds(creds::Args),
    /// Send this machine's Claude Code configuration to VMs: settings, skills, commands, agents; nothing secret
    Sync(sync::Args),
    /// Let ssh, scp, sftp, rsync, git and editors reach VMs as NAME.ai-vm
    SshConfig(ssh_config::Args),
    /// Show the keys of VMs, or give them new ones
    SshKeys(ssh_keys::Args),
    /// Connect stdin and stdout to a VM's SSH server, for other SSH clients
    Proxy(proxy::Args),
    /// List, build and remove the images that VMs are made from
    Image(image::Args),
    /// Check whether this machine has what ai-vm needs
    Doctor(doctor::Args),
    /// Keep connections for other commands; started by them
    #[command(hide = true)]
    HoldConnections,
    /// Print what a place that is being typed for `cp` can become; for completions
    #[command(hide = true)]
    CompletePlace(complete::Args),
    /// Print what a word that is being typed can become; for completions
    #[command(hide = true)]
    CompleteWords(words::Args),
    /// Write the manual pages, or docs/reference.md; for packages and this repository
    #[command(hide = true)]
    Generate(generate::Args),
    /// Show the configuration: where it is read from and what it says
    Config(config::Args),
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every verb, with its options, by the words that lead to it.
    fn verbs() -> Vec<(String, clap::Command)> {
        let mut root = Cli::command();
        root.build();
        let visible = |command: &clap::Command| -> Vec<clap::Command> {
            command.get_subcommands().filter(|verb| !verb.is_hide_set()).cloned().collect()
        };
        visible(&root).into_iter().map(|verb| (verb.get_name().to_owned(), verb)).collect()
    }

    #[test]
    fn what_every_verb_takes_may_come_before_it_and_what_a_vm_takes_not() {
        let read = |line: &str| Cli::read(line.split(' ').map(OsString::from));
        for line in ["ai-vm --no-input ls", "ai-vm ls --no-input", "ai-vm share ls --no-input"] {
            let cli = read(line).unwrap();
            assert!(cli.no_input && !cli.is_bare && cli.command.is_some(), "{line}");
        }
        assert!(read("ai-vm").unwrap().is_bare && read("ai-vm --no-input").unwrap().is_bare);
        assert!(!read("ai-vm --name ai-vm").unwrap().is_bare);
        for line in ["ai-vm --ram 4 ls", "ai-vm --name web up web"] {
            assert_eq!(read(line).unwrap_err().kind(), ErrorKind::ArgumentConflict, "{line}");
        }
    }

    #[test]
    fn a_verb_says_of_itself_what_the_list_of_verbs_says_of_it() {
        let list = Cli::command();
        for (name, verb) in verbs() {
            let listed = list.find_subcommand(&name).unwrap().get_about().unwrap().to_string();
            assert_eq!(verb.get_about().unwrap().to_string(), listed, "{name}");
        }
    }

    /// Takes a line apart as a shell does: commands, each of words. What comes after a wide gap is a comment.
    fn commands(line: &str) -> Vec<Vec<String>> {
        let typed = line.trim().split("   ").next().unwrap();
        let (mut all, mut quoted) = (vec![vec![String::new()]], false);
        for c in typed.chars() {
            let words = all.last_mut().unwrap();
            match c {
                '\'' => quoted = !quoted,
                '|' | ';' | '<' | '>' | '&' if !quoted => all.push(vec![String::new()]),
                ' ' if !quoted => words.push(String::new()),
                _ => words.last_mut().unwrap().push(c),
            }
        }
        all.into_iter().map(|words| words.into_iter().filter(|word| !word.is_empty()).collect()).collect()
    }

    /// Tells what is wrong with those commands of a line that are ours.
    fn check(line: &str, place: &str) -> usize {
        let ours =
            commands(line).into_iter().filter(|words| words.first().is_some_and(|word| word == "ai-vm"));
        ours.map(|words| {
            if let Err(error) = Cli::read(words.iter().map(OsString::from)) {
                // Somebody speaks of a verb that has verbs, or asks for help.
                let is_mention = error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
                assert!(is_mention || !error.use_stderr(), "{place}: {words:?}: {error}");
            }
        })
        .count()
    }

    #[test]
    fn what_the_documents_say_can_be_typed() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let documents = [
            "README.md",
            "SECURITY.md",
            "docs/coming-from.md",
            "docs/how-to.md",
            "docs/session.type",
            "docs/troubleshooting.md",
            "docs/tutorial.md",
        ];
        for document in documents {
            let text = std::fs::read_to_string(root.join(document)).unwrap();
            // Verbs, names and arguments that stand for any.
            let text = text.replace("\\|", "|").replace("VERB", "ls").replace(" DIR`", " .`");
            let typed = text.lines().filter_map(|line| line.strip_prefix("$ "));
            let quoted = text
                .lines()
                .filter(|line| !line.starts_with("$ "))
                .flat_map(|line| line.split('`').skip(1).step_by(2));
            let lines: Vec<&str> = typed.chain(quoted.filter(|code| code.contains(' '))).collect();
            let found: usize = lines.iter().map(|line| check(line, document)).sum();
            assert!(found > 4, "{document} has {found} commands");
        }
    }

    #[test]
    fn what_a_person_is_asked_to_type_can_be_typed() {
        let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manual-test.sh");
        let script = std::fs::read_to_string(script).unwrap();
        let steps = script.split("\nstep ").skip(1).flat_map(str::lines);
        let typed =
            steps.map(|line| line.trim_matches(['\'', '\\', ' '])).filter(|line| line.starts_with("ai-vm "));
        let found: usize = typed.map(|line| check(&line.replace('"', "'"), "manual-test.sh")).sum();
        assert!(found > 20, "{found} commands");
    }

    #[test]
    fn every_verb_has_examples_that_can_be_typed() {
        for (name, mut verb) in verbs() {
            let help = verb.render_long_help().to_string();
            let examples = help.split("Examples:\n").nth(1);
            let examples = examples.unwrap_or_else(|| panic!("`{name}` has no examples"));
            let lines = examples.lines().take_while(|line| line.starts_with("  "));
            let ours: usize = lines.map(|line| check(line, &name)).sum();
            assert!(ours > 0 || name == "proxy", "`{name}`: {examples}");
        }
    }
}

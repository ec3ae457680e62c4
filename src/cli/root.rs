//! The command line as clap sees it.

use clap::{Parser, Subcommand};

use crate::cli::commands::{
    adopt, agents, claude, complete, config, cp, create, creds, diff, doctor, exec, fetch, forward, generate,
    image, info, launch, logs, ls, port, proxy, push, rebuild, restart, rm, run, share, shell, ssh_config,
    ssh_keys, start, stop, sync, trust, up, wait, words,
};
use crate::cli::global::GlobalArgs;

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
    /// What goes with every verb.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do; without it, and with options of a VM, that is made and run here; without anything menus are opened.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// What to make and run without a verb.
    #[command(flatten)]
    pub launch: launch::Args,
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
    use std::ffi::OsString;

    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;
    use crate::cli::typed;

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
            if let Err(error) = typed::parse(words.iter().map(OsString::from).collect()) {
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

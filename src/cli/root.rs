//! The command line as clap sees it.

use clap::{Parser, Subcommand};

use crate::cli::commands::{config, create, info, ls, rm};

/// A fleet of named virtual machines on this workstation, so that coding agents can work at full permission
/// without touching the host.
#[derive(Debug, Parser)]
#[command(name = "ai-vm", version, max_term_width = 100, disable_help_subcommand = true)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 conflict, 5 timeout.\n\
    `exec` and `shell` pass the guest's exit code through; 125 means that ai-vm failed before the command ran, \
    255 that the connection was lost.\n\n\
    Start here: ai-vm up NAME && ai-vm shell NAME")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Register VMs: names, hardware, ports. Makes no image and boots nothing unless --start
    Create(create::Args),
    /// List VMs
    #[command(visible_alias = "list")]
    Ls(ls::Args),
    /// Show everything about VMs
    Info(info::Args),
    /// Remove VMs with their disks
    Rm(rm::Args),
    /// Show the configuration: where it is read from and what it says
    Config(config::Args),
}

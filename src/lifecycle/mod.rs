//! The life of one VM: wires the rooms below. Says what happens by events and never prints.

pub mod adopt;
pub mod apart;
mod attempt;
pub mod conditions;
pub mod console;
pub mod create;
pub mod dial;
mod durations;
pub mod error;
pub mod event;
pub mod folder;
pub mod forward;
pub mod image;
pub mod observe;
pub mod ports;
pub mod prepare;
pub mod present;
pub mod reach;
pub mod ready;
pub mod rebuild;
pub mod recorded;
pub mod remove;
pub mod rotate;
pub mod rotate_error;
pub mod run;
pub mod seat;
pub mod share_error;
pub mod shares;
pub mod start;
pub mod stop;

use std::path::PathBuf;

use crate::guest::nixos::flake;
use crate::host::env::{ClaudeFiles, Seat};
use crate::registry::store::Registry;

/// What every operation on VMs needs.
#[derive(Clone, Debug)]
pub struct Engine {
    /// The VMs.
    pub registry: Registry,
    /// The QEMU to run, where the user names one.
    pub qemu: Option<PathBuf>,
    /// The Debian mirror that images are made from, where the user names one.
    pub mirror: Option<String>,
    /// The user's SSH agent, for machines that something else runs.
    pub agent: Option<PathBuf>,
    /// The user's own SSH keys, for the same.
    pub keys: Vec<PathBuf>,
    /// The user's home, which is not shared as a whole unless the user insists.
    pub home: Option<PathBuf>,
    /// What the user's session has to see and to hear by.
    pub seat: Seat,
    /// Where the user's Claude Code keeps what it has.
    pub claude: Option<ClaudeFiles>,
    /// The configuration file, which is not shared either.
    pub config: PathBuf,
    /// What people said about the flake that NixOS guests are built from.
    pub flake: flake::Said,
}

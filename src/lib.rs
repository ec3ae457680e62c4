//! ai-vm keeps a fleet of named virtual machines on one workstation.
//!
//! The rooms, from the ground up; each imports only rooms above it in this list:
//!
//! - [`diagnostic`]: what every error can say about itself.
//! - [`vm`]: the domain as values.
//! - [`host`]: this machine.
//! - [`registry`]: what VMs there should be.
//! - [`qemu`]: what runs them.
//! - [`ssh`]: the built-in client.
//! - [`guest`]: what VMs boot.
//! - [`lifecycle`]: the life of one VM.
//! - [`transfer`]: files into VMs and out of them.
//! - [`git`]: commits into VMs and out of them.
//! - [`project`]: what a repository says about its VM.
//! - [`claude`]: Claude Code in VMs.
//! - [`agents`]: agents in VMs.
//! - [`fleet`]: the same in many VMs.
//! - [`doctor`]: whether this machine has what is needed.
//! - [`ui`]: streams, tables, progress.
//! - [`cli`]: the command line.

pub mod agents;
pub mod claude;
pub mod cli;
pub mod diagnostic;
pub mod doctor;
pub mod fleet;
pub mod git;
pub mod guest;
pub mod host;
pub mod lifecycle;
pub mod project;
pub mod qemu;
pub mod registry;
pub mod ssh;
pub mod transfer;
pub mod ui;
pub mod vm;

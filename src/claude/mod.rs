//! Claude Code in VMs: how it is logged in, and what it is set up with.

pub mod account;
pub mod config;
pub mod credentials;
pub mod login;
pub mod settings;

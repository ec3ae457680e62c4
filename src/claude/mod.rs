//! Claude Code in VMs: how it is logged in.

pub mod account;
pub mod credentials;
pub mod login;

//! Claude Code in guests: what this machine's Claude Code is set up with, sent there.

pub mod config;
pub mod settings;

//! This machine's configuration of Claude Code, sent to guests: one way, only what changed, nothing that is secret.

pub mod error;
mod plan;
pub mod send;
mod state;
pub mod view;

//! How Claude Code in a VM is logged in: by a token, or by a copy of this machine's login that is kept the newest
//! everywhere.
//!
//! A copied login is a chain: each renewal makes a new one and makes all others worthless. So the newest is kept here, in a
//! store of ai-vm's own, taken from wherever it turns up and given to whoever has an older one.

mod audit;
pub mod deliver;
pub mod error;
pub mod exchange;
pub mod host;
pub mod peer;
mod remote;
pub mod status;
pub mod store;
pub mod token;

#[cfg(test)]
mod rotation_tests;

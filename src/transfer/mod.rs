//! Copies files into and out of guests: one tar stream through one remote script. What a guest sends is hostile input.
//!
//! Whatever is copied passes as [`entry::Entry`] values: the walk of a host tree ([`walk`]) or the decoder of a
//! guest's stream ([`decode`]) makes them; the encoder for a guest ([`encode`]), the host's file system ([`extract`])
//! or stdout take them.

pub mod bridge;
pub mod copy;
pub mod decode;
pub mod encode;
pub mod entry;
pub mod error;
pub mod extract;
mod host_dir;
pub mod host_target;
pub mod location;
pub mod manifest;
pub mod name;
mod pax;
pub mod plan;
pub mod remote;
pub mod session;
pub mod walk;
pub mod watch;
mod ways;

#[cfg(test)]
mod hostile_tests;

//! The everyday suite: the built binary in a private home. Boots no guest.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../support/home.rs"]
mod home;

mod broken_records;
mod command_line;
mod many_at_once;

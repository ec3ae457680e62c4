//! The built binary against servers that do what they should not: each ends within its deadline, with the right exit
//! code, and without eating the memory of the machine.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "../support/home.rs"]
mod home;
#[path = "../support/memory.rs"]
mod memory;
#[expect(dead_code, reason = "shared with the everyday suite")]
#[path = "../support/pty.rs"]
mod pty;
mod server;
#[expect(dead_code, reason = "shared with the everyday suite")]
#[path = "../support/sshd.rs"]
mod sshd;
mod victim;

mod crude;
mod faults;
mod forward;
mod frozen;
mod stages;
mod streams;

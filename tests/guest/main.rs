//! Real guests, booted by the built binary in the real QEMU. Needs some minutes without KVM, and the network: the Debian
//! image is made here. The tests take turns, because each wants the whole machine.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "shared with the everyday suite")]
#[path = "../support/documents.rs"]
mod documents;
#[expect(dead_code, reason = "shared with the everyday suite")]
#[path = "../support/forwarding.rs"]
mod forwarding;
#[path = "../support/home.rs"]
mod home;
#[path = "../support/nix.rs"]
mod nix;
#[path = "../support/processes.rs"]
mod processes;
#[path = "../support/pty.rs"]
mod pty;

mod agents;
mod brought_image;
mod claude;
mod copying;
mod debian;
mod desktop;
mod documents_typed;
mod forwards;
mod git;
mod killed_build;
mod launch;
mod logins;
mod nixos_shaped;
mod rebuild;
mod run;
mod shares;

use std::io::Write;

/// Says how far a long test has come.
fn report(text: &str) {
    let _ = writeln!(std::io::stderr(), "  {text}");
}

//! The everyday suite: the built binary in a private home, against a real OpenSSH server and a real QEMU whose disk is
//! empty. Boots no guest.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "../support/documents.rs"]
mod documents;
#[path = "../support/forwarding.rs"]
mod forwarding;
#[path = "../support/home.rs"]
mod home;
#[path = "../support/machine.rs"]
mod machine;
#[expect(dead_code, reason = "shared with the hostile suite")]
#[path = "../support/memory.rs"]
mod memory;
#[path = "../support/nix.rs"]
mod nix;
#[path = "../support/processes.rs"]
mod processes;
#[path = "../support/pty.rs"]
mod pty;
#[path = "../support/sshd.rs"]
mod sshd;
#[path = "../support/vectors.rs"]
mod vectors;

mod adopted;
mod agents;
mod broken_records;
mod command_line;
mod completions;
mod copy;
mod copy_cut;
mod copy_fleet;
mod copy_full;
mod crash;
mod creds;
mod creds_hostile;
mod creds_rotation;
mod desktop;
mod doctor;
mod documents_said;
mod error_texts;
mod evil_bytes;
mod exact_argv;
mod exec;
mod fleet;
mod foreground;
mod forward;
mod generated;
mod git;
mod git_hostile;
mod guest_rebuild;
mod launch;
mod launcher;
mod launcher_leaving;
mod lifecycle;
mod manual_test;
mod many_at_once;
mod nixos;
mod openssh;
mod overlay;
mod ports;
mod privacy;
mod progress;
mod progress_live;
mod project;
mod rebuild;
mod run;
mod seat;
mod shares;
mod ssh_keys;
mod streams;
mod sync;
mod terminal;
mod trouble;
mod wait;
mod warm;
mod wrong_servers;

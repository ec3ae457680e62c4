//! The NixOS guest without NixOS: its modules and flakes are evaluated against the options that nixpkgs has, and its
//! scripts run with stand-ins for what only a NixOS has. Nothing is built and nothing is fetched.
//!
//! nixpkgs' `lib` is stood in for by `lib/`; with the variable `NIXPKGS_LIB`, the folder `lib` of a nixpkgs, the same
//! evaluations run with the real one besides, and both have to come to the same values.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod boot_record;
mod command_line;
mod evaluation;
mod first_boot;
mod flakes;
mod garbage;
mod identity;
mod nix;
mod rebuild;
mod sources;
mod stage;
mod start_claude;

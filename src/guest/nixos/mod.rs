//! The NixOS guest: built by Nix from a flake, this repository's own if the user names no other.

mod build;
pub mod disk;
mod embedded;
pub mod flake;
mod health;
pub mod manifest;
mod progress;

pub use build::{Features, LIMIT, NixError, Wanted, build};
pub use health::{Health as NixHealth, health, is_usable};

//! What a repository says about its VM, and how far that is believed: `.ai-vm.toml`.
//!
//! Whoever wrote a repository may say what its VM is, and nothing about this machine, unless the user has agreed to that very
//! text. A guest that can write to the repository is somebody like that too.

pub mod error;
pub mod file;
pub mod trust;

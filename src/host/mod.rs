//! This machine: its environment, directories, files, locks and ports. Knows VMs by name only.

pub mod capacity;
pub mod data_dir;
pub mod detached;
pub mod env;
pub mod files;
pub mod folder;
pub mod layout;
pub mod listeners;
pub mod lock;
pub mod pipe;
pub mod process;
pub mod program;
pub mod public_socket;
pub mod random;
pub mod socket;
pub mod ssh_include;
pub mod staging;
pub mod terminal;
pub mod umask;

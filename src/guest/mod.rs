//! What VMs boot: images, made here or brought along, and the identity that a guest is given at launch.

pub mod authorized;
pub mod credentials;
pub mod debian;
pub mod error;
pub mod fstab;
pub mod import;
pub mod manifest;
pub mod nixos;
pub mod recorded;
pub mod seed;
pub mod store;

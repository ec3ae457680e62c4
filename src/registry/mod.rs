//! The registry: what VMs there should be. One directory a VM with a record in it, decided under one lock.
//!
//! Knows nothing of QEMU or SSH: whether a VM runs is not its concern.

pub mod error;
pub mod openssh;
pub mod ports;
pub mod record;
pub mod store;

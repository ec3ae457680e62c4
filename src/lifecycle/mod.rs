//! The life of one VM: wires the rooms below. Says what happens by events and never prints.

pub mod create;
pub mod observe;

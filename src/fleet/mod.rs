//! The same in many VMs at once: bounded parallelism, one outcome for each, one exit code for all.

pub mod each;
pub mod exec;
mod gate;
pub mod outcome;

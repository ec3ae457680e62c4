//! The same in many VMs at once: bounded parallelism, one outcome for each, one exit code for all.

pub mod exec;
pub mod outcome;

//! The domain: what a VM is, as values. No input or output, no async; everything here can be tested by
//! calling it.

pub mod capacity;
pub mod condition;
pub mod desktop;
pub mod endpoint;
pub mod forwarding;
pub mod guest;
pub mod label;
pub mod login_mode;
pub mod name;
pub mod port;
pub mod share;
pub mod share_policy;
pub mod size;
pub mod socket_table;
pub mod spec;
pub mod state;
pub mod typed;

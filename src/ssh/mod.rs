//! The built-in SSH client: keys, connections to a pinned server, programs in a guest. The only room that names russh.

pub mod command;
pub mod connect;
pub mod direct;
pub mod error;
pub mod exec;
pub mod forward;
pub mod host_key;
pub mod keys;
mod login;
pub mod mux;
mod pinned;
pub mod program;
pub mod raw;
pub mod running;
pub mod scan;
pub mod session;
pub mod signals;
pub mod status;
pub mod stdio;
mod stream;
pub mod target;

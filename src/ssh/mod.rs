//! The built-in SSH client: keys, connections to a pinned server, programs in a guest. The only room that names russh.

pub mod command;
pub mod connect;
pub mod exec;
pub mod keys;
pub mod mux;
pub mod program;
pub mod running;
pub mod session;
mod signals;
mod stdio;

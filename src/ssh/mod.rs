//! The built-in SSH client: keys, connecting to a pinned server, running commands and shells. The only room that
//! names russh.

pub mod command;
pub mod connect;
pub mod exec;
pub mod keys;
pub mod session;
mod stdio;

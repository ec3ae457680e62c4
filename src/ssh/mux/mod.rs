//! Warm connections: a process that keeps logged-in connections, so that a command need not log in first.
//!
//! One *holder* serves a data directory. It starts when the first command wants it, listens on a socket that only its
//! user can reach, and ends by itself when it has had nothing to keep for a while. Nothing depends on it: whoever
//! cannot have it at once connects by itself, without a word.
//!
//! - A connection carries one program at a time. One whose reader stands still blocks nobody else (within one SSH
//!   connection it would, because russh has one queue for all channels), and a guest's limit on sessions is not met.
//! - A connection is found by everything that makes it the right one: address, login, the server's pinned key, and the
//!   marker of the boot. A VM that was replaced or booted anew has others, so an old connection never serves it.
//! - A connection that waits has a login shell ready, for which a command is one line. It is made when the command
//!   before it ends, so it has seen what that command did to the user's profile.
//! - Whoever asks passes three pipes along, so a program's bytes are not wrapped, and each pipe has its own
//!   back-pressure and end. What is over in a moment and writes nothing needs no more than that. Its own streams, its
//!   terminal and its signals stay in its own process.

pub mod asked;
pub mod client;
pub mod holder;
mod pipe;
mod pool;
pub mod wire;

//! Which permissions new files do not have: for what is ours everybody else's, for what is the user's as the user has it.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::OnceLock;

use rustix::fs::Mode;
use rustix::process::umask;

/// What the user has it to be.
static USERS: OnceLock<Mode> = OnceLock::new();

/// From now on whatever this process or a child of it creates is for its owner only, whatever the user's umask says.
pub fn close() {
    // Called once, at the beginning.
    let _ = USERS.set(umask(Mode::from_raw_mode(0o077)));
}

/// Lets a program create files as the user's own programs do, because they are the user's.
#[expect(unsafe_code, reason = "umask is async-signal-safe and touches nothing of the parent's")]
pub fn as_users(command: &mut Command) {
    let Some(users) = USERS.get().copied() else { return };
    let prepare = move || {
        umask(users);
        Ok(())
    };
    // SAFETY: between fork and exec only one system call is made.
    unsafe { command.pre_exec(prepare) };
}

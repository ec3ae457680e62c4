//! Agents in guests: sessions that go on by themselves, runs without a terminal, and those that somebody started in a
//! terminal. What is known of them is what the guest says, and decides nothing here.
//!
//! Every agent has a directory `${XDG_STATE_HOME:-~/.local/state}/ai-vm/agents/ID/` in its guest, and its path in the
//! variable `AI_VM_AGENT`. In it are files of one line each, written whole:
//!
//! - `kind`: `session` (in tmux), `run` (without a terminal, with a log) or `own` (start-claude in somebody's terminal)
//! - `command`, `prompt`: what it is and what it was asked, 200 bytes of each
//! - `cwd`, `begun` (seconds since 1970)
//! - `pid`: the process whose end is the agent's: its number, and when it was started (field 22 of its `stat`)
//! - `state`: `working`, `waiting WHAT` or `done`, as Claude Code's hooks said last
//! - `exit`: its exit code, when it ended by itself; `stopped`: there when it was stopped from here
//! - of a run `log`, `err` and `input`: its stdout, its stderr, its whole prompt; of a session `input`, and `screen`,
//!   what its terminal showed at the end

pub mod agent;
mod answer;
pub mod error;
pub mod guest;
pub mod run;

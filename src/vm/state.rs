//! The state of a VM: derived from what is seen at this moment, never stored.

use std::fmt;

use serde::Serialize;

/// What a VM is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Nothing runs.
    Stopped,
    /// Being launched, or its guest is not reachable yet.
    Starting,
    /// The guest has been reached since it booted.
    Running,
    /// QEMU has halted the guest's processors.
    Paused,
    /// QEMU lives but does not answer.
    Unresponsive,
    /// Something else runs it, and its SSH server does not let us in at this moment.
    Unreachable,
    /// Its record cannot be used, or QEMU cannot go on with it.
    Broken,
}

impl State {
    /// Tells whether a QEMU process belongs to this state.
    pub const fn is_alive(self) -> bool {
        matches!(self, Self::Starting | Self::Running | Self::Paused | Self::Unresponsive)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Stopped => "stopped",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Unresponsive => "unresponsive",
            Self::Unreachable => "unreachable",
            Self::Broken => "broken",
        })
    }
}

/// How QEMU's control socket answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nobody listens: QEMU is not up yet.
    Absent,
    /// Somebody listens but said nothing within the deadline.
    Silent,
    /// The guest's processors run.
    Running,
    /// They are halted on request, for a start with `-S`, or while a snapshot is taken.
    Paused,
    /// QEMU cannot go on; holds its own word for that, such as `internal-error` or `io-error`.
    Failed(String),
}

/// Everything from which a state follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Whether the run lock is held.
    pub alive: bool,
    /// The control socket's answer; not asked when nothing is alive.
    pub answer: Answer,
    /// Whether the guest of this very boot has been reached.
    pub ready: bool,
    /// Whether the VM has been started before and its disk is gone.
    pub disk_missing: bool,
}

/// Derives the state, and the problem where there is one.
pub fn derive(facts: &Facts) -> (State, Option<String>) {
    if facts.disk_missing {
        return (State::Broken, Some("its disk is missing".to_owned()));
    }
    if !facts.alive {
        return (State::Stopped, None);
    }
    match &facts.answer {
        Answer::Absent => (State::Starting, None),
        Answer::Silent => {
            (State::Unresponsive, Some("QEMU does not answer on its control socket".to_owned()))
        }
        Answer::Running if facts.ready => (State::Running, None),
        Answer::Running => (State::Starting, None),
        Answer::Paused => (State::Paused, None),
        Answer::Failed(status) => (State::Broken, Some(format!("QEMU stopped the guest: {status}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_has_one_answer() {
        let answers = [
            (Answer::Absent, State::Starting, State::Starting),
            (Answer::Silent, State::Unresponsive, State::Unresponsive),
            (Answer::Running, State::Starting, State::Running),
            (Answer::Paused, State::Paused, State::Paused),
            (Answer::Failed("io-error".to_owned()), State::Broken, State::Broken),
        ];
        for (answer, unready, ready) in answers {
            let facts = |alive, ready| Facts { alive, ready, answer: answer.clone(), disk_missing: false };
            assert_eq!(derive(&facts(true, false)).0, unready);
            assert_eq!(derive(&facts(true, true)).0, ready);
            assert_eq!(derive(&facts(false, true)).0, State::Stopped);
            assert_eq!(derive(&Facts { disk_missing: true, ..facts(true, true) }).0, State::Broken);
        }
    }
}

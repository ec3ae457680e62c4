//! What an agent is, and which one is meant. Pure.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::diagnostic::{Diagnostic, Kind as ErrorKind};

/// How many hexadecimal digits an ID has.
const DIGITS: usize = 12;

/// The name of an agent in its guest: 12 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct AgentId(String);

impl AgentId {
    /// Makes the ID of a new agent from random hexadecimal digits, at least as many as an ID has.
    pub fn of_random(digits: &str) -> Option<Self> {
        digits.get(..DIGITS).and_then(Self::read)
    }

    /// Reads an ID; nothing else is one.
    pub fn read(text: &str) -> Option<Self> {
        (text.len() == DIGITS && text.bytes().all(is_digit)).then(|| Self(text.to_owned()))
    }

    /// Returns its digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The beginning of an ID, as people type it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix(String);

/// A text with which no ID begins.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not the ID of an agent")]
pub struct PrefixError {
    given: String,
}

impl Diagnostic for PrefixError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Usage
    }

    fn hints(&self) -> Vec<String> {
        vec![
            "an ID is 12 of the digits 0-9a-f, or as many of its first as tell it apart: `ai-vm agents`"
                .to_owned(),
        ]
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        if (1..=DIGITS).contains(&text.len()) && text.bytes().all(is_digit) {
            return Ok(Self(text.to_owned()));
        }
        Err(PrefixError { given: text.escape_debug().to_string() })
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_digit(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

/// How an agent was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// In a terminal of its own, to which one can connect.
    Session,
    /// Without a terminal.
    Run,
    /// In a terminal of whoever began it.
    Own,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Session => "session",
            Self::Run => "run",
            Self::Own => "own",
        })
    }
}

/// What an agent does, as its guest says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It works.
    Working,
    /// It waits for somebody: for a permission, an answer.
    Waiting(String),
    /// It has nothing to do any more.
    Done,
    /// It is there, and nobody says more.
    Running,
    /// It ended with this exit code.
    Exited(u8),
    /// It was stopped from here.
    Stopped,
    /// It is no more, and nobody saw its end: it was killed, or its machine was.
    Gone,
}

impl State {
    /// Tells whether the agent has ended.
    pub const fn is_end(&self) -> bool {
        matches!(self, Self::Exited(_) | Self::Stopped | Self::Gone)
    }

    /// Tells whether it did what it was to do.
    pub const fn is_done(&self) -> bool {
        matches!(self, Self::Done | Self::Exited(0))
    }

    /// Returns it as one word, for programs.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Working => "working",
            Self::Waiting(_) => "waiting",
            Self::Done | Self::Exited(0) => "done",
            Self::Running => "running",
            Self::Exited(_) => "failed",
            Self::Stopped => "stopped",
            Self::Gone => "gone",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting(what) => write!(f, "waiting: {what}"),
            Self::Exited(code @ 1..) => write!(f, "failed ({code})"),
            other => f.write_str(other.word()),
        }
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

/// An agent in a guest, as the guest says. Its texts may have anything in them.
#[derive(Clone, Debug, PartialEq)]
pub struct Agent {
    /// Its ID; none where nobody wrote it down.
    pub id: Option<AgentId>,
    /// How it was begun.
    pub kind: Kind,
    /// What it does.
    pub state: State,
    /// Since when, in seconds since 1970 by the guest's clock.
    pub since: Option<u64>,
    /// When it was begun, the same.
    pub begun: Option<u64>,
    /// The directory that it works in.
    pub cwd: String,
    /// What it is.
    pub command: String,
    /// The beginning of what it was asked.
    pub prompt: String,
    /// What it says that it cost, in dollars.
    pub cost: Option<f64>,
}

/// What a guest says of its agents.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// What its clock showed, in seconds since 1970.
    pub now: u64,
    /// The agents, those that began first before the others.
    pub agents: Vec<Agent>,
}

/// Why none of the agents is the one that is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotOne {
    /// There is none.
    Nothing,
    /// There are several.
    Several(Vec<AgentId>),
}

impl Seen {
    /// Returns the agent that is meant: of those that fit, the only one whose ID begins so. Where no ID is given and not
    /// all have ended, those that have are not meant.
    pub fn pick(
        &self,
        prefix: Option<&Prefix>,
        fits: impl Fn(&Agent) -> bool,
    ) -> Result<(&AgentId, &Agent), NotOne> {
        let known = self.agents.iter().filter_map(|agent| Some((agent.id.as_ref()?, agent)));
        let begins = |id: &AgentId| prefix.is_none_or(|prefix| id.as_str().starts_with(&prefix.0));
        let mut found: Vec<_> = known.filter(|(id, agent)| begins(id) && fits(agent)).collect();
        if prefix.is_none() && found.iter().any(|(_, agent)| !agent.state.is_end()) {
            found.retain(|(_, agent)| !agent.state.is_end());
        }
        match found.as_slice() {
            [] => Err(NotOne::Nothing),
            [one] => Ok(*one),
            several => Err(NotOne::Several(several.iter().map(|(id, _)| (*id).clone()).collect())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(id: &str, state: State) -> Agent {
        let text = String::new;
        let id = AgentId::read(id);
        Agent {
            id,
            kind: Kind::Session,
            state,
            since: None,
            begun: None,
            cwd: text(),
            command: text(),
            prompt: text(),
            cost: None,
        }
    }

    #[test]
    fn ids_are_what_they_are() {
        assert!(AgentId::read("0123456789ab").is_some());
        for bad in ["", "0123456789a", "0123456789abc", "0123456789aB", "../456789abcd", "0123456789a\n"] {
            assert_eq!(AgentId::read(bad), None, "{bad:?}");
        }
        assert!("a1".parse::<Prefix>().is_ok() && "0123456789ab".parse::<Prefix>().is_ok());
        for bad in ["", "g", "A", "0123456789abc", "a b"] {
            assert!(bad.parse::<Prefix>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_one_that_is_meant() {
        let ids = ["aa0000000000", "ab0000000000", "b00000000000"];
        let states = [State::Working, State::Gone, State::Stopped];
        let mut agents: Vec<_> = ids.iter().zip(states).map(|(id, state)| agent(id, state)).collect();
        agents.push(Agent { id: None, ..agents[0].clone() });
        let mut seen = Seen { now: 0, agents };
        let pick = |seen: &Seen, prefix: Option<&str>| {
            let prefix = prefix.map(|text| text.parse().unwrap());
            seen.pick(prefix.as_ref(), |_| true).map(|(id, _)| id.to_string())
        };
        assert_eq!(pick(&seen, None), Ok(ids[0].to_owned()));
        assert_eq!(pick(&seen, Some("ab")), Ok(ids[1].to_owned()));
        assert!(matches!(pick(&seen, Some("a")), Err(NotOne::Several(both)) if both.len() == 2));
        assert_eq!(pick(&seen, Some("c")), Err(NotOne::Nothing));
        seen.agents[0].state = State::Exited(0);
        assert!(matches!(pick(&seen, None), Err(NotOne::Several(all)) if all.len() == 3));
    }
}

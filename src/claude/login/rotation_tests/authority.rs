//! Who gives out logins and says which can be renewed.

use std::collections::HashMap;

use serde_json::json;

use crate::claude::credentials::Millis;

const HOUR: u64 = 3600 * 1000;

/// Who may renew what. Each log-in begins a chain; of each chain the last token alone can be used.
#[derive(Default)]
pub struct Authority {
    pub last: HashMap<u64, u64>,
    /// What was issued last, which expires later than all others.
    pub newest: Token,
    clock: u64,
}

/// A token: its chain, and its place in that.
pub type Token = (u64, u64);

/// What Claude Code's file is with a token.
fn content(token: Token, expires: u64) -> Vec<u8> {
    let (chain, number) = token;
    json!({"claudeAiOauth": {
        "accessToken": format!("sk-ant-oat01-access-{chain}-{number}"),
        "refreshToken": format!("sk-ant-ort01-refresh-{chain}-{number}"),
        "expiresAt": expires,
    }, "mcpOAuth": {"kept": number}})
    .to_string()
    .into_bytes()
}

/// Which token a file has.
pub fn token(content: &[u8]) -> Option<Token> {
    let value: serde_json::Value = serde_json::from_slice(content).unwrap();
    let text = value["claudeAiOauth"]["refreshToken"].as_str()?;
    let mut numbers =
        text.strip_prefix("sk-ant-ort01-refresh-").unwrap().split('-').map(|n| n.parse().unwrap());
    Some((numbers.next().unwrap(), numbers.next().unwrap()))
}

impl Authority {
    pub fn log_in(&mut self) -> Vec<u8> {
        let chain = self.last.len() as u64;
        self.last.insert(chain, 0);
        self.issue((chain, 0))
    }

    /// A login on another chain that is older than all there are.
    pub fn log_in_earlier(&mut self) -> Vec<u8> {
        let chain = self.last.len() as u64;
        self.last.insert(chain, 0);
        content((chain, 0), Millis::now().0 - 40 * 24 * HOUR)
    }

    /// Each login expires eight hours after it was made, by a clock that goes on by some hours from one to the next.
    pub fn issue(&mut self, token: Token) -> Vec<u8> {
        self.clock += 60;
        self.newest = token;
        content(token, Millis::now().0 - 30 * 24 * HOUR + self.clock * 1000 + 8 * HOUR)
    }

    pub fn is_live(&self, token: Token) -> bool {
        self.last.get(&token.0) == Some(&token.1)
    }

    /// What Claude Code does with its file when its access token has expired.
    pub fn renew(&mut self, file: &mut Option<Vec<u8>>) -> Renewed {
        let Some((chain, number)) = file.as_deref().and_then(token) else { return Renewed::LoggedOut };
        if !self.is_live((chain, number)) {
            // It is rejected, and Claude Code clears what it has.
            *file = Some(b"{}".to_vec());
            return Renewed::Rejected;
        }
        self.last.insert(chain, number + 1);
        *file = Some(self.issue((chain, number + 1)));
        Renewed::Done
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Renewed {
    Done,
    Rejected,
    LoggedOut,
}

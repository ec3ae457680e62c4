//! What Nix says while it builds, in the form that is meant for programs: lines of `@nix` and a JSON object
//! (`--log-format internal-json`; the numbers are those of `libutil/logging.hh` of Nix).

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

/// The activities that are told about.
const COPY_PATHS: u64 = 103;
const BUILDS: u64 = 104;
const BUILD: u64 = 105;
/// The results that are told about.
const LOG_LINE: u64 = 101;
const PROGRESS: u64 = 105;
/// The level of messages that say what went wrong.
const ERROR: u64 = 0;

/// One line of Nix.
#[derive(Debug, Deserialize)]
#[serde(tag = "action", rename_all = "lowercase")]
enum Line {
    Start {
        id: u64,
        #[serde(rename = "type")]
        kind: u64,
        #[serde(default)]
        text: String,
    },
    Stop {
        id: u64,
    },
    Result {
        id: u64,
        #[serde(rename = "type")]
        kind: u64,
        #[serde(default)]
        fields: Vec<Value>,
    },
    Msg {
        level: u64,
        msg: String,
    },
    #[serde(other)]
    Other,
}

/// What a line meant for people.
#[derive(Debug, PartialEq, Eq)]
pub enum News {
    /// What is being done now.
    Step(String),
    /// A line for the log.
    Log(String),
    /// Why it does not work.
    Error(String),
}

/// Follows what Nix says.
#[derive(Debug, Default)]
pub struct Progress {
    kinds: HashMap<u64, u64>,
    built: Option<(u64, u64)>,
    fetched: Option<(u64, u64)>,
}

impl Progress {
    /// Takes a line and returns what is new.
    pub fn hear(&mut self, line: &str) -> Option<News> {
        let Some(json) = line.strip_prefix("@nix ") else { return Some(News::Log(line.to_owned())) };
        match serde_json::from_str(json).ok()? {
            Line::Start { id, kind, text } => {
                self.kinds.insert(id, kind);
                let what = text.rsplit_once("/nix/store/").map_or(text.as_str(), |(_, name)| name);
                // `...-name-version.drv'`: the hash says nothing to people.
                let name = what
                    .split_once('-')
                    .map_or(what, |(_, name)| name)
                    .trim_end_matches("'")
                    .trim_end_matches(".drv");
                match kind {
                    BUILD if !name.is_empty() => {
                        Some(News::Step(format!("{}building {name}", self.counts())))
                    }
                    _ => (!text.is_empty()).then(|| News::Log(plain(&text))),
                }
            }
            Line::Stop { id } => {
                self.kinds.remove(&id);
                None
            }
            Line::Result { id, kind: PROGRESS, fields } => {
                let number = |at: usize| fields.get(at).and_then(Value::as_u64);
                let count = number(0).zip(number(1)).filter(|(_, expected)| *expected > 0)?;
                match self.kinds.get(&id) {
                    Some(&BUILDS) if self.built != Some(count) => self.built = Some(count),
                    Some(&COPY_PATHS) if self.fetched != Some(count) => self.fetched = Some(count),
                    _ => return None,
                }
                Some(News::Step(self.counts().trim_end_matches([',', ' ']).to_owned()))
            }
            Line::Result { kind: LOG_LINE, fields, .. } => Some(News::Log(plain(fields.first()?.as_str()?))),
            Line::Msg { level: ERROR, msg } => Some(News::Error(plain(&msg))),
            Line::Msg { msg, .. } => Some(News::Log(plain(&msg))),
            Line::Result { .. } | Line::Other => None,
        }
    }

    fn counts(&self) -> String {
        let part = |what: &str, count: Option<(u64, u64)>| {
            count.map(|(done, all)| format!("{what} {done} of {all}, ")).unwrap_or_default()
        };
        part("fetched", self.fetched) + &part("built", self.built)
    }
}

/// Takes colours out: Nix writes them whatever it writes to.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            // A sequence ends with its first letter.
            chars.by_ref().find(char::is_ascii_alphabetic);
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn news_are_told_once() {
        let mut progress = Progress::default();
        let mut hear = |line: &str| progress.hear(line);
        assert_eq!(hear(r#"@nix {"action":"start","id":1,"level":5,"type":104,"text":""}"#), None);
        let count = r#"@nix {"action":"result","id":1,"type":105,"fields":[1,3,1,0]}"#;
        assert_eq!(hear(count), Some(News::Step("built 1 of 3".into())));
        assert_eq!(hear(count), None);
        let start = r#"@nix {"action":"start","id":2,"level":3,"type":105,"text":"building '/nix/store/abc-linux-6.18.drv'"}"#;
        assert_eq!(hear(start), Some(News::Step("built 1 of 3, building linux-6.18".into())));
        let line = r#"@nix {"action":"result","id":2,"type":101,"fields":["CC main.o"]}"#;
        assert_eq!(hear(line), Some(News::Log("CC main.o".into())));
        let error = r#"@nix {"action":"msg","level":0,"msg":"\u001b[31;1merror:\u001b[0m no such flake"}"#;
        assert_eq!(hear(error), Some(News::Error("error: no such flake".into())));
        assert_eq!(hear("warning: dirty"), Some(News::Log("warning: dirty".into())));
        assert_eq!(hear("@nix {"), None);
    }

    proptest! {
        #[test]
        fn any_line_is_heard(text in "\\PC{0,80}") {
            let _ = Progress::default().hear(&format!("@nix {text}"));
            let _ = plain(&text);
        }
    }
}

//! What `--progress json` writes to stderr: one object a line. Keys and events are only ever added.

use std::time::SystemTime;

use serde::Serialize;

use crate::diagnostic::Diagnostic;
use crate::ui::filter;

/// One line.
#[derive(Debug, Serialize)]
struct Line<'a> {
    /// RFC 3339 in UTC, with milliseconds.
    time: String,
    #[serde(flatten)]
    told: Told<'a>,
}

/// What is told. `about` is a VM, or an image.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Told<'a> {
    /// A new step is under way.
    Step {
        /// What it is about.
        about: &'a str,
        /// The step, in words.
        step: &'a str,
    },
    /// How far a step is. At most one a second for each thing that it is about.
    Progress {
        /// What it is about.
        about: &'a str,
        /// The step, in words.
        step: &'a str,
        /// What is going on in it, such as the guest's last console line.
        #[serde(skip_serializing_if = "Option::is_none")]
        detail: Option<&'a str>,
        /// How much, where that is counted.
        #[serde(flatten)]
        amount: Option<Amount>,
        /// In how many seconds it will be over, about, where that can be told.
        #[serde(skip_serializing_if = "Option::is_none")]
        eta: Option<u64>,
    },
    /// Something worth knowing.
    Note {
        /// What it is about, where it is about one thing.
        #[serde(skip_serializing_if = "Option::is_none")]
        about: Option<&'a str>,
        /// In words.
        message: String,
    },
    /// Something is not as good as it could be.
    Warning {
        /// What it is about, where it is about one thing.
        #[serde(skip_serializing_if = "Option::is_none")]
        about: Option<&'a str>,
        /// In words.
        message: String,
    },
    /// Something went wrong.
    Error {
        /// What it is about, where it is about one of several.
        #[serde(skip_serializing_if = "Option::is_none")]
        about: Option<&'a str>,
        /// The sort of failure: `failed`, `usage`, `not_found`, `conflict`, `timeout`.
        code: &'static str,
        /// In words.
        message: String,
        /// Why, from the nearest cause on.
        causes: Vec<String>,
        /// What can be done.
        hints: Vec<String>,
    },
    /// Somebody at a terminal is asked.
    Question {
        /// What.
        message: String,
    },
    /// A line that a command wrote to its stderr in one of several VMs.
    Stderr {
        /// The VM.
        about: &'a str,
        /// The line.
        message: String,
    },
    /// The work on one of possibly several is over.
    End {
        /// What it is about.
        about: &'a str,
        /// How: `ok`, `failed`, `cancelled`.
        result: &'static str,
        /// In words.
        message: String,
    },
    /// The whole command is over. Always the last line, unless the process is killed.
    Exit {
        /// How: `ok` or `failed`.
        result: &'static str,
        /// The exit code.
        exit: u8,
    },
}

/// How much of something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Amount {
    /// So much.
    pub done: u64,
    /// Of so much, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// `bytes`.
    pub unit: &'static str,
}

impl Told<'_> {
    /// Returns the line, without its end. Nothing in it acts on a terminal.
    pub fn line(self) -> String {
        let time = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
        // Text, numbers and lists of text can always be written.
        let line = serde_json::to_string(&Line { time, told: self }).unwrap_or_default();
        filter::json(&line)
    }

    /// Describes an error.
    pub fn error<'a>(error: &dyn Diagnostic, about: Option<&'a str>) -> Told<'a> {
        let mut causes = Vec::new();
        let mut cause = error.source();
        while let Some(source) = cause {
            causes.push(filter::lines(&source.to_string()));
            cause = source.source();
        }
        let hints = error.hints().iter().map(|hint| filter::lines(hint)).collect();
        Told::Error {
            about,
            code: error.kind().code(),
            message: filter::lines(&error.to_string()),
            causes,
            hints,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn value(told: Told<'_>) -> Value {
        serde_json::from_str(&told.line()).unwrap()
    }

    #[test]
    fn what_is_not_known_has_no_key() {
        let amount = Some(Amount { done: 1, total: None, unit: "bytes" });
        let told =
            value(Told::Progress { about: "web", step: "copying", detail: None, amount, eta: Some(3) });
        let time = told["time"].as_str().unwrap().to_owned();
        assert!(humantime::parse_rfc3339(&time).is_ok(), "{time}");
        let wanted = json!({
            "time": time, "event": "progress", "about": "web", "step": "copying", "done": 1, "unit": "bytes", "eta": 3
        });
        assert_eq!(told, wanted);
    }

    proptest! {
        #[test]
        fn any_text_is_one_line_of_json(text in any::<String>()) {
            let line = Told::Note { about: Some(&text), message: text.clone() }.line();
            prop_assert_eq!(line.lines().count(), 1);
            let told: Value = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(told["message"].as_str(), Some(text.as_str()));
        }
    }
}

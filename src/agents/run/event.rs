//! What Claude Code says in `--output-format stream-json`, one JSON object a line, as far as it is of interest here. Pure.
//! (Claude Code's documentation, "Run Claude Code programmatically"; seen in 2.1.332.) Another agent's lines are text.

use serde_json::Value;

/// The longest line that is read, in bytes. A longer one, such as one with a picture in it, is passed over.
const MAX_LINE: usize = 4 << 20;

/// Something that an agent says.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// It has begun, with this model.
    Begun(String),
    /// It said something.
    Said(String),
    /// It uses a tool: which, and what for.
    Uses(String, String),
    /// The model's server did not answer; it tries again.
    Retries(String),
    /// It is done.
    Result(Report),
    /// A line that is no such object.
    Line(String),
}

/// What an agent says at its end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Whether it calls it a failure.
    pub failed: bool,
    /// Its answer, or what went wrong.
    pub text: String,
    /// How often it was the model's turn.
    pub turns: Option<u64>,
    /// What that cost, in dollars.
    pub cost: Option<f64>,
    /// By which the session can be gone on with.
    pub session: Option<String>,
}

impl Event {
    /// Reads a line; `None` where it is of no interest.
    pub fn read(line: &[u8]) -> Option<Self> {
        let plain = || Some(Self::Line(String::from_utf8_lossy(line).into_owned()));
        // Most is something else than an object, or too much to be looked at twice.
        let Some(said) = line.starts_with(b"{").then(|| serde_json::from_slice::<Value>(line).ok()).flatten()
        else {
            return plain();
        };
        let Some(kind) = said.get("type").and_then(Value::as_str) else { return plain() };
        match (kind, text(&said, "subtype").as_str()) {
            ("system", "init") => Some(Self::Begun(text(&said, "model"))),
            ("system", "api_retry") => Some(Self::Retries(retry(&said))),
            // What an agent of the agent does is its own.
            ("assistant", _) if said.get("parent_tool_use_id").is_none_or(Value::is_null) => {
                assistant(said.pointer("/message/content")?)
            }
            ("result", subtype) => Some(Self::Result(report(&said, subtype))),
            _ => None,
        }
    }
}

fn text(object: &Value, key: &str) -> String {
    object.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn retry(said: &Value) -> String {
    let number = |key| said.get(key).and_then(Value::as_u64);
    let status = number("error_status").map(|status| format!(" ({status})")).unwrap_or_default();
    let of = number("max_retries").map(|most| format!(" of {most}")).unwrap_or_default();
    let attempt = number("attempt").unwrap_or_default();
    format!("{}{status}, attempt {attempt}{of}", text(said, "error"))
}

/// Returns the last thing of interest that a message has: it has one in general.
fn assistant(content: &Value) -> Option<Event> {
    content.as_array()?.iter().rev().find_map(|part| match text(part, "type").as_str() {
        "text" => Some(Event::Said(text(part, "text"))).filter(|said| *said != Event::Said(String::new())),
        "tool_use" => Some(Event::Uses(text(part, "name"), about(part.get("input")))),
        _ => None,
    })
}

/// Returns of what is given to a tool what tells most.
fn about(input: Option<&Value>) -> String {
    let Some(Value::Object(input)) = input else { return String::new() };
    let telling = ["command", "file_path", "path", "pattern", "url", "query", "description", "prompt"];
    let named = telling.iter().find_map(|key| input.get(*key)?.as_str());
    named.or_else(|| input.values().find_map(Value::as_str)).unwrap_or_default().to_owned()
}

fn report(said: &Value, subtype: &str) -> Report {
    let is_session = |id: &String| {
        (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let failed = said.get("is_error").and_then(Value::as_bool).unwrap_or(subtype != "success");
    let answer = text(said, "result");
    let errors = said.get("errors").and_then(Value::as_array).into_iter().flatten();
    let errors = errors.filter_map(Value::as_str).collect::<Vec<_>>().join("; ");
    let said_best = [answer, errors].into_iter().find(|text| !text.is_empty());
    Report {
        failed,
        text: said_best.unwrap_or_else(|| if failed { subtype.to_owned() } else { String::new() }),
        turns: said.get("num_turns").and_then(Value::as_u64),
        cost: said.get("total_cost_usd").and_then(Value::as_f64).filter(|cost| *cost >= 0.0),
        session: Some(text(said, "session_id")).filter(is_session),
    }
}

/// Takes a log apart into events, in whatever parts it comes.
#[derive(Debug, Default)]
pub struct Reader {
    line: Vec<u8>,
    /// Whether the present line is too long.
    over: bool,
}

impl Reader {
    /// Takes what has come.
    pub fn take(&mut self, chunk: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        for part in chunk.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = part.strip_suffix(b"\n").map_or((part, false), |text| (text, true));
            self.over |= self.line.len() + text.len() > MAX_LINE;
            if !self.over {
                self.line.extend_from_slice(text);
            }
            if ends {
                events.extend(self.end());
            }
        }
        events
    }

    /// Takes what was not ended.
    pub fn finish(mut self) -> Option<Event> {
        if self.line.is_empty() { None } else { self.end() }
    }

    fn end(&mut self) -> Option<Event> {
        let line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.over) { None } else { Event::read(&line) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(line: &str) -> Option<Event> {
        Event::read(line.as_bytes())
    }

    #[test]
    fn what_claude_code_says() {
        assert_eq!(
            read(
                r#"{"type":"system","subtype":"init","session_id":"s","model":"claude-opus-4-8","cwd":"/x"}"#
            ),
            Some(Event::Begun("claude-opus-4-8".to_owned()))
        );
        let said = r#"{"type":"assistant","message":{"content":[{"type":"text","text":"Hello\nyou"}]},"parent_tool_use_id":null}"#;
        assert_eq!(read(said), Some(Event::Said("Hello\nyou".to_owned())));
        assert_eq!(read(&said.replace("null", "\"toolu_1\"")), None);
        assert_eq!(
            read(
                r#"{"type":"assistant","message":{"content":[{"type":"thinking","thinking":"x"},{"type":"tool_use","name":"Bash","input":{"description":"d","command":"make"}}]}}"#
            ),
            Some(Event::Uses("Bash".to_owned(), "make".to_owned()))
        );
        assert_eq!(
            read(
                r#"{"type":"system","subtype":"api_retry","attempt":2,"max_retries":10,"error_status":529,"error":"overloaded"}"#
            ),
            Some(Event::Retries("overloaded (529), attempt 2 of 10".to_owned()))
        );
        let result = r#"{"type":"result","subtype":"success","is_error":false,"num_turns":3,"result":"Done.","session_id":"a-1","total_cost_usd":0.25}"#;
        let report = Report {
            failed: false,
            text: "Done.".to_owned(),
            turns: Some(3),
            cost: Some(0.25),
            session: Some("a-1".to_owned()),
        };
        assert_eq!(read(result), Some(Event::Result(report)));
        let Some(Event::Result(report)) =
            read(r#"{"type":"result","subtype":"error_max_turns","num_turns":-1,"session_id":"\u001b"}"#)
        else {
            panic!("it is no result");
        };
        let failed = Report { failed: true, text: "error_max_turns".to_owned(), ..Report::default() };
        assert_eq!(report, failed);
        for line in [r#"{"type":"user","message":{}}"#, r#"{"type":"assistant","message":{"content":[]}}"#] {
            assert_eq!(read(line), None, "{line}");
        }
        for line in ["plain", "", "{", r#"{"a":1}"#, "[1]"] {
            assert_eq!(read(line), Some(Event::Line(line.to_owned())));
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over() {
        let mut reader = Reader::default();
        for _ in 0..3 {
            assert_eq!(reader.take(&vec![b'x'; MAX_LINE / 2]), []);
        }
        assert_eq!(reader.take(b"\nnext\nlast"), [Event::Line("next".to_owned())]);
        assert_eq!(reader.finish(), Some(Event::Line("last".to_owned())));
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_parts(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..200) {
            let (mut whole, mut parts) = (Reader::default(), Reader::default());
            let (one, two) = bytes.split_at(at.min(bytes.len()));
            let mut events = parts.take(one);
            events.extend(parts.take(two));
            prop_assert_eq!(events, whole.take(&bytes));
            prop_assert_eq!(parts.finish(), whole.finish());
        }
    }
}

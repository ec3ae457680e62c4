//! What an agent without a terminal says, in words for people. What it says itself is not filtered.

use crate::agents::run::event::{Event, Report};
use crate::ui::filter;

/// How much of a line is shown of what goes on, in characters.
const WIDTH: usize = 200;

/// Says what goes on in one line without anything that acts on a terminal; `None` for the end, of which more is told.
pub fn brief(event: &Event) -> Option<String> {
    Some(match event {
        Event::Begun(model) => first_line(&format!("begun, {model}")),
        Event::Said(text) | Event::Line(text) => first_line(text),
        Event::Uses(tool, about) => format!("[{}] {}", first_line(tool), first_line(about)),
        Event::Retries(why) => format!("the model does not answer: {}", first_line(why)),
        Event::Result(_) => return None,
    })
}

/// Says all of it.
pub fn whole(event: &Event) -> String {
    match event {
        Event::Begun(model) => format!("begun, {model}"),
        Event::Said(text) | Event::Line(text) => text.clone(),
        Event::Uses(tool, about) => format!("[{tool}] {about}"),
        Event::Retries(why) => format!("the model does not answer: {why}"),
        Event::Result(report) => {
            let ended = if report.failed { format!("failed: {}", report.text) } else { "done".to_owned() };
            [Some(ended), turns(report), cost(report)].into_iter().flatten().collect::<Vec<_>>().join(", ")
        }
    }
}

/// Says how often it was the model's turn.
pub fn turns(report: &Report) -> Option<String> {
    report.turns.map(|turns| if turns == 1 { "1 turn".to_owned() } else { format!("{turns} turns") })
}

/// Says what it cost.
pub fn cost(report: &Report) -> Option<String> {
    report.cost.map(|cost| format!("${cost:.2}"))
}

fn first_line(text: &str) -> String {
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let line = filter::one_line(line);
    match line.char_indices().nth(WIDTH) {
        Some((at, _)) => format!("{}...", line.get(..at).unwrap_or_default()),
        None => line,
    }
}

//! Reads what a guest says of its agents: fields ended by NUL, in one order, nothing after them. Pure.

use crate::agents::agent::{Agent, AgentId, Kind, Seen, State};

/// The longest answer, in bytes.
pub(super) const MAX_BYTES: usize = 256 * 1024;

/// How long a text may be, in bytes: what is longer is cut there.
const MAX_TEXT: usize = 400;

/// Reads an answer. What is not exactly what the script says is no answer.
pub(super) fn read(answer: &[u8]) -> Result<Seen, &'static str> {
    let body = answer.strip_suffix(b"\0end\0").ok_or("it is not complete")?;
    let mut fields = body.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    if fields.next().is_none_or(|field| field != "ai-vm agents") {
        return Err("it does not begin as it should");
    }
    let now = fields.next().and_then(|field| number(&field)).ok_or("it does not say what time it is")?;
    let mut agents = Vec::new();
    while let Some(field) = fields.next() {
        let mut text = || fields.next().map(std::borrow::Cow::into_owned);
        let mut next = || text().filter(|field| field.len() <= MAX_TEXT).ok_or("it has a field that is none");
        if field != "agent" {
            return Err("it has other fields than it should");
        }
        let id = next()?;
        let id =
            if id.is_empty() { None } else { Some(AgentId::read(&id).ok_or("it has an ID that is none")?) };
        let kind = match next()?.as_str() {
            "session" => Kind::Session,
            "run" => Kind::Run,
            "own" => Kind::Own,
            // It is only being written down.
            "" if id.is_some() => Kind::Own,
            _ => return Err("it has an agent of a kind that there is not"),
        };
        let state = state(&next()?).ok_or("it has a state that is none")?;
        let (since, begun) = (number(&next()?), number(&next()?));
        let (cwd, command, prompt) = (next()?, next()?, next()?);
        let cost = next()?.parse().ok().filter(|cost: &f64| cost.is_finite() && *cost >= 0.0);
        agents.push(Agent { id, kind, state, since, begun, cwd, command, prompt, cost });
    }
    agents.sort_by(|a, b| (a.begun, &a.id).cmp(&(b.begun, &b.id)));
    Ok(Seen { now, agents })
}

fn state(text: &str) -> Option<State> {
    Some(match text.split_once(' ') {
        None if text == "working" => State::Working,
        None if text == "done" => State::Done,
        None if text == "running" => State::Running,
        None if text == "stopped" => State::Stopped,
        None if text == "gone" => State::Gone,
        Some(("waiting", what)) if !what.is_empty() => State::Waiting(what.chars().take(40).collect()),
        // Not what `parse` takes besides: a sign, zeros before the number.
        Some(("exit", text)) => {
            State::Exited(text.parse().ok().filter(|code: &u8| code.to_string() == text)?)
        }
        _ => return None,
    })
}

/// Reads a time: digits, and not so many that they are none.
fn number(text: &str) -> Option<u64> {
    let is_plain = !text.is_empty() && text.len() <= 11 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEAD: &str = "ai-vm agents|1795696924|";

    fn agent(state: &str) -> String {
        format!("agent|0123456789ab|session|{state}|1795696923|1795696922|/srv|claude|fix it|0.25|")
    }

    fn answer(text: &str) -> Vec<u8> {
        text.replace('|', "\0").into_bytes()
    }

    #[test]
    fn what_a_guest_says() {
        let other = "agent||own|running|1|1|/|claude|||";
        let text = format!("{HEAD}{}{other}end|", agent("waiting permission"));
        let seen = read(&answer(&text)).unwrap();
        assert_eq!((seen.now, seen.agents.len()), (1_795_696_924, 2));
        let [unknown, known] = seen.agents.as_slice() else { unreachable!() };
        assert_eq!((&unknown.id, unknown.cost, unknown.kind), (&None, None, Kind::Own));
        assert_eq!(known.state, State::Waiting("permission".to_owned()));
        assert_eq!(
            (known.since, known.cost, known.prompt.as_str()),
            (Some(1_795_696_923), Some(0.25), "fix it")
        );
        assert_eq!(read(&answer(&format!("{HEAD}end|"))).unwrap().agents, []);
        for (text, state) in
            [("exit 0", State::Exited(0)), ("exit 143", State::Exited(143)), ("gone", State::Gone)]
        {
            assert_eq!(read(&answer(&format!("{HEAD}{}end|", agent(text)))).unwrap().agents[0].state, state);
        }
    }

    #[test]
    fn what_is_almost_an_answer_is_none() {
        let good = agent("done");
        for text in [
            String::new(),
            "end|".to_owned(),
            HEAD.to_owned(),
            format!("{HEAD}{good}"),
            format!("{HEAD}{good}end|x"),
            format!("{HEAD}{good}more|end|"),
            format!("ai-vm agents|soon|{good}end|"),
            format!("{HEAD}{}end|", good.replace("0123456789ab", "../../../etc")),
            format!("{HEAD}{}end|", good.replace("session", "daemon")),
            format!("{HEAD}{}end|", good.replace("/srv", &"x".repeat(401))),
            format!("{HEAD}{}end|", good.replace("fix it|", "")),
            format!("{HEAD}{}end|", agent("exit 256")),
            format!("{HEAD}{}end|", agent("exit +1")),
            format!("{HEAD}{}end|", agent("waiting ")),
            format!("{HEAD}{}end|", agent("sleeping")),
        ] {
            assert!(read(&answer(&text)).is_err(), "{text:?}");
        }
        // A cost that is none, and times that are none, are not said.
        for cost in ["NaN", "inf", "-1", "", "much"] {
            let text = format!("{HEAD}{}end|", good.replace("0.25", cost).replace("1795696923", "-7"));
            let agent = &read(&answer(&text)).unwrap().agents[0];
            assert_eq!((agent.cost, agent.since), (None, None), "{cost}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&bytes);
            let _ = read(&[answer(HEAD).as_slice(), &answer("agent|"), &bytes, b"\0end\0"].concat());
        }
    }
}

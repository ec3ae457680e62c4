//! Waits until something holds in a guest. One connection is kept for all the asking.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::event::{Event, Listener};
use crate::lifecycle::ready::Patience;
use crate::lifecycle::{Engine, reach, ready};
use crate::ssh::command::RemoteCommand;
use crate::ssh::connect::Session;
use crate::ssh::direct::Refusal;
use crate::ssh::session::{Captured, SessionError};
use crate::vm::condition::Condition;
use crate::vm::name::VmName;

/// The pause between looks, at first and at last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// With less time than this a further look is not worth it.
const TOO_LATE: Duration = Duration::from_millis(20);

/// How long a port may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// The most characters that are told of a command's last line.
const LAST_LINE: usize = 200;

/// What was seen of a condition that does not hold.
enum Seen {
    /// This, in words.
    No(String),
    /// Nothing before the time was over.
    Nothing(String),
    /// The connection is gone.
    Lost,
}

/// Waits until the guest is ready and all conditions hold in one and the same look.
pub async fn wait_for(
    engine: &Engine,
    name: &VmName,
    conditions: &[Condition],
    patience: Patience,
    listener: &Listener,
) -> Result<(), LifecycleError> {
    if conditions.is_empty() {
        return reach::wait(engine, name, patience, listener).await;
    }
    let mut pause = FIRST_PAUSE;
    let mut session = ready::session(engine, name, patience, listener).await?;
    let mut seen: Vec<Option<String>> = conditions.iter().map(|_| Some("not looked at".to_owned())).collect();
    let mut first = true;
    loop {
        for (condition, seen) in conditions.iter().zip(&mut seen) {
            match look(&session, condition, patience.end()).await? {
                Ok(()) => *seen = None,
                Err(Seen::No(words)) => *seen = Some(words),
                // What was seen before that tells more.
                Err(Seen::Nothing(words)) if first || seen.is_none() || patience.left() > TOO_LATE => {
                    *seen = Some(words);
                }
                Err(Seen::Nothing(_)) => {}
                Err(Seen::Lost) => {
                    *seen = Some("the connection was lost".to_owned());
                    break;
                }
            }
        }
        first = false;
        let missing =
            conditions.iter().zip(&seen).filter_map(|(condition, seen)| Some((condition, seen.as_ref()?)));
        let (names, missing): (Vec<String>, Vec<String>) =
            missing.map(|(condition, seen)| (condition.to_string(), format!("{condition} ({seen})"))).unzip();
        if missing.is_empty() {
            return Ok(());
        }
        if patience.left() <= TOO_LATE {
            let waited = patience.limit();
            return Err(LifecycleError::NotHeld { name: name.clone(), waited, missing: missing.join(", ") });
        }
        listener(Event::Step(format!("waiting for {}", names.join(", "))));
        // The last look is not long before the end.
        sleep(pause.min(patience.left() / 2)).await;
        pause = (pause * 3 / 2).min(LAST_PAUSE);
        if session.is_closed() {
            session = ready::session(engine, name, patience, listener).await?;
        }
    }
}

/// Looks once.
async fn look(
    session: &Session,
    condition: &Condition,
    deadline: Instant,
) -> Result<Result<(), Seen>, LifecycleError> {
    let (script, argument) = match condition {
        // Whoever has a connection has seen that.
        Condition::Ready => return Ok(Ok(())),
        Condition::Stopped => return Ok(Err(Seen::No("it runs".to_owned()))),
        Condition::Port(port) => {
            let answer = session.accepts(*port, deadline.min(Instant::now() + ANSWER)).await;
            return Ok(answer.map_err(|refusal| match refusal {
                Refusal::Lost => Seen::Lost,
                Refusal::Timeout => Seen::Nothing(refusal.to_string()),
                Refusal::Unanswered | Refusal::Forbidden => Seen::No(refusal.to_string()),
            }));
        }
        Condition::File(path) => ("test -e \"$1\"".to_owned(), Some(path)),
        Condition::Command(line) => (format!("exec 2>&1\n{line}"), None),
    };
    let argv = ["sh", "-c", &script, "sh"].into_iter().chain(argument.map(String::as_str));
    let argv = argv.map(Into::into).collect();
    let command = RemoteCommand { argv, ..RemoteCommand::default() }.encode().map_err(SessionError::from)?;
    Ok(match session.capture(&command.line, deadline).await {
        Ok(Captured { status: Some(0), .. }) => Ok(()),
        Ok(_) if argument.is_some() => Err(Seen::No("there is no such file".to_owned())),
        Ok(captured) => Err(Seen::No(ending(&captured))),
        Err(SessionError::Lost(_)) => Err(Seen::Lost),
        Err(error) => Err(Seen::Nothing(error.to_string())),
    })
}

/// Tells how a command ended, with the last line that it wrote.
fn ending(Captured { status, stdout }: &Captured) -> String {
    let ended = status.map_or("killed".to_owned(), |status| format!("exit code {status}"));
    let text = String::from_utf8_lossy(stdout);
    match text.lines().rev().map(str::trim).find(|line| !line.is_empty()) {
        Some(line) => format!("{ended}: {}", line.chars().take(LAST_LINE).collect::<String>()),
        None => ended,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_of_a_command() {
        let said = |status, stdout: &str| ending(&Captured { status, stdout: stdout.into() });
        assert_eq!(said(Some(7), "one\ntwo \n\n"), "exit code 7: two");
        assert_eq!(said(Some(1), ""), "exit code 1");
        assert_eq!(said(None, "x"), "killed: x");
        assert_eq!(said(Some(1), &"y".repeat(1000)).len(), "exit code 1: ".len() + LAST_LINE);
    }
}

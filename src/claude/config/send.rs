//! Sends configuration to a guest: one look there, while another is taken here, and one stream where something has changed.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::claude::config::error::ConfigError;
use crate::claude::config::plan::{Plan, plan};
use crate::claude::config::state::{self, State};
use crate::claude::config::view::{Content, Item, View};
use crate::ssh::command::RemoteCommand;
use crate::ssh::program::Program;
use crate::transfer::copy::Copy;
use crate::transfer::entry::{self, Destination, Entry, Kind, Time};
use crate::transfer::error::{Stop, StreamError, TransferError};
use crate::transfer::location::Place;
use crate::transfer::manifest::{self, MAX_LIST, Manifest};
use crate::transfer::name::Name;
use crate::transfer::remote::{self, How};
use crate::transfer::watch::{Stage, Watch};
use crate::vm::name::VmName;

const LIST: &str = include_str!("list.sh");

/// How closely is looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Whether what is here is what was sent last.
    Quick,
    /// At every file, here and there.
    Whole,
}

/// What was done, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Files that were sent, without the directories that they are in.
    pub sent: Vec<Name>,
    /// Their size, in bytes.
    pub bytes: u64,
    /// What was removed.
    pub removed: Vec<Name>,
}

/// Lets a guest have what it is to have: what `here` finds at `tops`, in a thread, while the guest looks what it has. With
/// `dry` it only says what would be done. Looked at quickly, where there is nothing here nothing is done.
pub async fn send(
    copy: &Copy<'_>,
    name: &VmName,
    tops: &[&str],
    here: impl FnOnce() -> View + Send + 'static,
    look: Look,
    dry: bool,
) -> Result<(Done, Arc<View>), ConfigError> {
    let (digest, asked) = mpsc::channel(1);
    let looking = spawn_blocking(move || {
        let view = here();
        if look == Look::Quick && !view.items.is_empty() {
            // There is room for one.
            let _ = digest.try_send(format!("{}\n", view.digest()).into());
        }
        view
    });
    let seen = look_there(copy, name, tops, look, asked).await?;
    // A thread that panicked has said so; nothing is in the scope of what it returns.
    let view = Arc::new(looking.await.unwrap_or_default());
    let done = match seen {
        None => Done::default(),
        Some((before, there)) => change(copy, name, &view, &before, &there, dry).await?,
    };
    Ok((done, view))
}

/// Sends and removes what has to be.
async fn change(
    copy: &Copy<'_>,
    name: &VmName,
    view: &Arc<View>,
    before: &State,
    there: &Manifest,
    dry: bool,
) -> Result<Done, ConfigError> {
    let plan = plan(view, before, there);
    let files = plan.copy.iter().filter_map(|name| view.items.get_key_value(name));
    let files: Vec<(&Name, &Item)> = files.filter(|(_, item)| item.content != Content::Dir).collect();
    let done = Done {
        sent: files.iter().map(|(name, _)| (*name).clone()).collect(),
        bytes: files.iter().map(|(_, item)| item.size).sum(),
        removed: plan.remove.clone(),
    };
    let nothing = plan.copy.is_empty() && plan.remove.is_empty() && plan.clear.is_empty();
    // Where nothing was ever sent and nothing is to be, nothing is written down either.
    let known = plan.state == *before || (plan.state.files.is_empty() && before.files.is_empty());
    if dry || (nothing && known) {
        return Ok(done);
    }
    copy.watch.expect(done.bytes);
    let to = Place {
        path: "./.claude".into(),
        slash: true,
        parent: ".".into(),
        last: Some(OsString::from(".claude")),
    };
    if !plan.clear.is_empty() {
        copy.send(name, &to, How::Into, listed(&plan.clear), |_| Ok(())).await?;
    }
    let (view, watch, removals) = (Arc::clone(view), Arc::clone(&copy.watch), listed(&plan.remove));
    copy.send(name, &to, How::Into, removals, move |to| stream(&view, plan, &watch, to)).await?;
    match copy.watch.problems() {
        0 => Ok(done),
        count => Err(TransferError::Incomplete { count }.into()),
    }
}

/// Asks a guest what was sent to it before, and what it has; `None` when all that is to be known is that nothing changed.
async fn look_there(
    copy: &Copy<'_>,
    name: &VmName,
    tops: &[&str],
    look: Look,
    digest: mpsc::Receiver<Bytes>,
) -> Result<Option<(State, Manifest)>, TransferError> {
    let how = if look == Look::Quick { "quick" } else { "full" };
    copy.watch.enter(Stage::Comparing);
    let argv = ["sh", "-c", LIST, "ai-vm-sync", how].into_iter().chain(tops.iter().copied());
    let argv = argv.map(OsString::from).collect();
    let program = Program::Command(RemoteCommand { argv, ..RemoteCommand::default() }.encode()?);
    let (answer, ended) = copy.guests.ask(name, &program, digest, MAX_LIST, &copy.watch).await?;
    if answer.len() as u64 > MAX_LIST {
        let error = StreamError::TooMuch { what: "bytes of a list of files", limit: MAX_LIST };
        return Err(TransferError::Stopped(error.into()));
    }
    // 1 is that something could not be looked at, which is then sent.
    if ended.code > 1 {
        let (message, hint) = remote::meaning(name, None, ended.code, &ended.said);
        return Err(TransferError::Guest { name: name.clone(), message, hint });
    }
    if answer == b"same\0" {
        return Ok(None);
    }
    read(&answer).map(Some).map_err(|error| TransferError::Stopped(error.into()))
}

/// Reads the answer: the length of the state, the state, a list of files.
fn read(answer: &[u8]) -> Result<(State, Manifest), StreamError> {
    if answer.is_empty() {
        return Ok((State::default(), Manifest::new()));
    }
    let bad = StreamError::Malformed("what was sent before");
    let Some(end) = answer.iter().position(|byte| *byte == 0) else { return Err(bad) };
    let (length, rest) = answer.split_at(end);
    let length = std::str::from_utf8(length).ok().and_then(|text| text.parse().ok());
    let parts = length.and_then(|length: usize| rest.get(1..)?.split_at_checked(length));
    let Some((state, list)) = parts else { return Err(bad) };
    let state = if state.len() > state::MAX { State::default() } else { State::parse(state) };
    Ok((state, manifest::parse(list, &Name::default())?))
}

/// Returns names as the script that removes them reads them.
fn listed(names: &[Name]) -> Vec<u8> {
    names.iter().flat_map(|name| [b"./", name.as_bytes(), b"\0"].concat()).collect()
}

/// Writes what is to be sent, and last what is then there.
fn stream(view: &View, plan: Plan, watch: &Watch, to: &mut dyn Destination) -> Result<(), Stop> {
    let before = watch.problems();
    for name in &plan.copy {
        let Some(item) = view.items.get(name) else { continue };
        if watch.is_cancelled() {
            return Err(Stop::Closed);
        }
        let mut entry = Entry { name: name.clone(), kind: Kind::Dir, mode: item.mode, mtime: item.mtime };
        match &item.content {
            Content::Dir => to.put(&entry, &mut io::empty())?,
            Content::Made(bytes) => {
                entry.kind = Kind::File(entry::Content::dense(bytes.len() as u64));
                to.put(&entry, &mut watch.counting(&mut bytes.as_slice()))?;
            }
            Content::File(path) => file(path, entry, watch, to)?,
        }
        watch.file(item.size);
    }
    let mut state = plan.state;
    if watch.problems() != before {
        // So that it is tried again.
        state.digest = String::new();
    }
    let bytes = state.write();
    let name = Name::parse(OsStr::new(state::FILE).as_encoded_bytes()).map_err(|_| Stop::Closed)?;
    let kind = Kind::File(entry::Content::dense(bytes.len() as u64));
    to.put(&Entry { name, kind, mode: 0o600, mtime: Time { seconds: 0, nanos: 0 } }, &mut bytes.as_slice())
}

/// Sends a file, of which no more is read than it had when it was opened.
fn file(path: &Path, mut entry: Entry, watch: &Watch, to: &mut dyn Destination) -> Result<(), Stop> {
    let opened = Content::open(path).and_then(|file| file.metadata().map(|found| (file, found.len())));
    match opened {
        Ok((file, size)) => {
            entry.kind = Kind::File(entry::Content::dense(size));
            // One that has become shorter is sent anew when it is looked at again.
            to.put(&entry, &mut watch.counting(&mut file.take(size).chain(io::repeat(0))))
        }
        Err(error) => {
            watch.problem(format!("cannot read `{}`: {error}", path.display()));
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn answers_of_guests() {
        assert_eq!(read(b"").unwrap(), (State::default(), Manifest::new()));
        let (state, there) = read(b"4\0ab\0\0f\x003\x001\x00644\0\0CLAUDE.md\0").unwrap();
        assert_eq!((state, there.len()), (State::default(), 1));
        for bad in [&b"x"[..], b"x\0", b"9\0ab", b"0\0f\x003\x001\x00644\0\0../x\0"] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_answer_is_survived(answer in proptest::collection::vec(prop_oneof![Just(0u8), Just(b'1'), Just(b'f'), any::<u8>()], 0..100)) {
            let _ = read(&answer);
        }
    }
}

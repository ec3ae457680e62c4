//! Connects a git here with a program in a guest, over ai-vm's own connection, within bounds.

use std::io::{self, Read};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::time::timeout;

use crate::git::error::GitError;
use crate::git::remote;
use crate::host::pipe::{self, Talked};
use crate::lifecycle::event::{self, Now};
use crate::ssh::program::Program;
use crate::ssh::running::Running;
use crate::transfer::bridge::{self, Flow, FromGuest};
use crate::transfer::error::TransferError;
use crate::transfer::session::{Ended, Guests};
use crate::transfer::watch::Watch;
use crate::vm::name::VmName;

/// How long the program in the guest may take to end once git here has, or git once the guest's has.
const LAST_WORDS: Duration = Duration::from_secs(20);

/// The most that a guest may say about its refs before it sends anything, in bytes.
const MAX_REFS: u64 = 16 << 20;

/// What is taken from a guest at most.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes.
    pub size: u64,
    /// How long it may take.
    pub time: Duration,
}

/// Lets git talk to a program in a VM. Returns what the guest's program said besides.
pub async fn run(
    guests: &Guests<'_>,
    vm: &VmName,
    program: &Program,
    git: Command,
    bounds: Bounds,
) -> Result<String, GitError> {
    let running = guests.begin(vm, program).await?;
    // Single files are no matter here, and nobody else ends it.
    let watch = Arc::new(Watch::new(|_| {}));
    let listener = (guests.listener)(vm);
    let now = || Some(Now { step: "exchanging commits", bytes: Some((watch.moved(), None)) });
    tokio::select! {
        talked = talk(guests, vm, running, git, bounds, Arc::clone(&watch)) => talked,
        never = event::follow(&listener, now) => match never {},
    }
}

/// Lets them talk until one of them ends.
async fn talk(
    guests: &Guests<'_>,
    vm: &VmName,
    running: Running,
    git: Command,
    bounds: Bounds,
    watch: Arc<Watch>,
) -> Result<String, GitError> {
    let flow = Arc::new(Flow::default());
    let (to, stdin) = bridge::to_guest(Arc::clone(&flow), Arc::clone(&watch));
    let (stdout, from) = bridge::from_guest(flow, watch);
    let excess = Arc::new(AtomicU8::new(WITHIN));
    let from = Bounded { from, size: bounds.size, refs: Some(Refs::default()), excess: Arc::clone(&excess) };
    let talking = tokio::task::spawn_blocking(move || {
        let mut git = git;
        pipe::converse(&mut git, bounds.time, from, to)
    });
    let mut talking = std::pin::pin!(talking);
    // A guest may be silent for as long as git here has to think: bounded is only the whole.
    let patient = Flow::default();
    let mut carrying = Box::pin(guests.carry(vm, running, stdin, stdout, &patient, false));
    let (ended, talked) = tokio::select! {
        talked = &mut talking => (timeout(LAST_WORDS, &mut carrying).await.ok(), talked),
        ended = &mut carrying => {
            drop(carrying);
            match &ended {
                // What has come is still to be looked at, which may take as long as everything else.
                Ok(_) => (Some(ended), talking.await),
                // Git's streams are closed.
                Err(_) => match timeout(LAST_WORDS, talking).await {
                    Ok(talked) => (Some(ended), talked),
                    Err(_) => return Err(ended.map_or_else(GitError::from, |_| GitError::Ended { vm: vm.clone() })),
                },
            }
        }
    };
    let talked = talked.map_err(|_| GitError::Ended { vm: vm.clone() })?;
    judge(vm, bounds, excess.load(Ordering::Relaxed), ended, talked)
}

/// Finds out which of all that ended is the reason.
fn judge(
    vm: &VmName,
    bounds: Bounds,
    excess: u8,
    ended: Option<Result<Ended, TransferError>>,
    talked: Result<Talked, crate::host::program::ProcessError>,
) -> Result<String, GitError> {
    let vm = vm.clone();
    match excess {
        TOO_MUCH => return Err(GitError::TooMuch { vm, limit: bounds.size }),
        TOO_MANY_REFS => return Err(GitError::TooMuchAboutRefs { vm, limit: MAX_REFS }),
        _ => {}
    }
    let ended = match ended {
        Some(Err(error)) if !matches!(talked, Ok(Talked { success: true, .. })) => return Err(error.into()),
        Some(Ok(ended)) => Some(ended),
        _ => None,
    };
    let code = ended.as_ref().map(|ended| ended.code);
    let said = ended.map(|ended| ended.said).unwrap_or_default();
    match talked {
        Err(crate::host::program::ProcessError::Timeout { limit, .. }) => {
            Err(GitError::Timeout { vm, limit })
        }
        Err(error) => Err(error.into()),
        Ok(Talked { success: true, .. }) => Ok(said),
        Ok(Talked { said: git_said, .. }) => match code.and_then(|code| remote::meaning(&vm, code)) {
            Some((reason, hint)) => Err(GitError::There { vm, reason, hint, said: brief(&said) }),
            None => {
                let said = if said.trim().is_empty() { git_said } else { format!("{git_said}\n{said}") };
                Err(GitError::refused(vm, &said))
            }
        },
    }
}

/// Returns the last lines, as one.
fn brief(said: &str) -> String {
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.get(lines.len().saturating_sub(3)..).unwrap_or_default().join("; ")
}

const WITHIN: u8 = 0;
const TOO_MUCH: u8 = 1;
const TOO_MANY_REFS: u8 = 2;

/// What a guest sends, up to a bound. Beyond it, it ends.
struct Bounded {
    from: FromGuest,
    size: u64,
    /// As long as the guest tells its refs.
    refs: Option<Refs>,
    excess: Arc<AtomicU8>,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        let over = |what| {
            self.excess.store(what, Ordering::Relaxed);
            Ok(0)
        };
        let Some(left) = self.size.checked_sub(count as u64) else { return over(TOO_MUCH) };
        self.size = left;
        if let Some(refs) = &mut self.refs {
            match refs.take(buffer.get(..count).unwrap_or_default()) {
                Told::All => self.refs = None,
                Told::TooMuch => return over(TOO_MANY_REFS),
                Told::More => {}
            }
        }
        Ok(count)
    }
}

/// Reads how a server tells its refs: lines with their length in four hexadecimal digits before them, up to `0000`
/// (`gitprotocol-common(5)`). Only counts: what the lines say is git's to judge.
#[derive(Default)]
struct Refs {
    /// Of the length that is being read.
    digits: Vec<u8>,
    /// Of the line that is being read, in bytes.
    left: usize,
    total: u64,
}

enum Told {
    More,
    All,
    TooMuch,
}

impl Refs {
    fn take(&mut self, mut bytes: &[u8]) -> Told {
        self.total += bytes.len() as u64;
        while !bytes.is_empty() {
            if self.left > 0 {
                let skipped = self.left.min(bytes.len());
                self.left -= skipped;
                bytes = bytes.get(skipped..).unwrap_or_default();
                continue;
            }
            let Some((digit, rest)) = bytes.split_first() else { break };
            self.digits.push(*digit);
            bytes = rest;
            if self.digits.len() == 4 {
                let length = std::str::from_utf8(&self.digits).ok();
                let length = length.and_then(|digits| usize::from_str_radix(digits, 16).ok());
                self.digits.clear();
                match length {
                    // The end, or no such line: git will say so.
                    Some(0) | None => return Told::All,
                    Some(length) => self.left = length.saturating_sub(4),
                }
            }
        }
        if self.total > MAX_REFS { Told::TooMuch } else { Told::More }
    }
}

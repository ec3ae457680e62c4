//! The ways a copy can go: into a guest, out of one, from one to another, and between a guest and this process's
//! streams. Each is a script in a guest and a thread here.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::host::random;
use crate::transfer::bridge::{self, Flow, Kept, ToGuest};
use crate::transfer::copy::{Copy, measure};
use crate::transfer::decode::Decoder;
use crate::transfer::encode::Encoder;
use crate::transfer::entry::{CHUNK, Destination};
use crate::transfer::error::{Stop, StreamError, TransferError};
use crate::transfer::extract::{Asked, MAX_ENTRIES, ToStream};
use crate::transfer::host_target::{self, HostTarget};
use crate::transfer::location::Place;
use crate::transfer::manifest::{self, MAX_LIST, Manifest};
use crate::transfer::name::Name;
use crate::transfer::plan::Plan;
use crate::transfer::remote::{self, How, Side};
use crate::transfer::session::Ended;
use crate::transfer::walk::Walk;
use crate::transfer::watch::{Stage, Watch};
use crate::vm::name::VmName;

/// One part of a copy: all from the same side.
pub struct Job<'a> {
    /// The sources.
    pub places: &'a [&'a Place],
    /// The destination.
    pub to: &'a Place,
    /// Whether the destination is to be a directory.
    pub into: bool,
    /// Whether directories are copied with what is in them.
    pub recursive: bool,
    /// What is to be done, where both sides have been compared.
    pub plan: Option<Plan>,
}

impl Job<'_> {
    const fn how(&self) -> How {
        if self.into { How::Into } else { How::Exact }
    }

    fn asked(&self) -> Asked {
        let tops = self.places.iter().map(|place| place.source().1.to_owned()).collect();
        Asked { tops, recursive: self.recursive, only: self.plan.as_ref().map(|plan| plan.copy.clone()) }
    }

    fn nothing_to_copy(&self) -> bool {
        self.plan.as_ref().is_some_and(|plan| plan.copy.is_empty())
    }

    fn nothing_to_do(&self) -> bool {
        self.nothing_to_copy() && self.plan.as_ref().is_some_and(|plan| plan.remove.is_empty())
    }

    /// Returns what to remove in a guest as its script reads it.
    fn removals(&self) -> Vec<u8> {
        let names = self.plan.iter().flat_map(|plan| &plan.remove);
        names.flat_map(|name| [b"./", name.as_bytes(), b"\0"].concat()).collect()
    }
}

impl Copy<'_> {
    /// Copies from this machine into a guest.
    pub(super) async fn push(&self, job: Job<'_>, name: &VmName) -> Result<(), TransferError> {
        let sources = host_target::sources(job.places, job.recursive)?;
        if job.nothing_to_do() {
            return Ok(());
        }
        let (to, how, recursive, removals) = (job.to, job.how(), job.recursive, job.removals());
        let only = job.plan.map(|plan| plan.copy);
        if only.is_none() {
            measure(sources.clone(), recursive, Arc::clone(&self.watch));
        }
        let watch = Arc::clone(&self.watch);
        let produce = move |encoder: &mut dyn Destination| {
            let wanted = |name: &Name| only.as_ref().is_none_or(|only| only.contains(name));
            let walk = Walk { recursive, wanted: &wanted, watch: &watch };
            sources.iter().try_for_each(|source| walk.run(source, encoder))
        };
        self.send(name, to, how, removals, produce).await
    }

    /// Sends what is produced, in a thread, to a place in a guest, and then removes there what is listed: names below
    /// the place, each with `./` before and NUL after it. Nothing is removed when there was a problem.
    pub async fn send(
        &self,
        name: &VmName,
        to: &Place,
        how: How,
        removals: Vec<u8>,
        produce: impl FnOnce(&mut dyn Destination) -> Result<(), Stop> + Send + 'static,
    ) -> Result<(), TransferError> {
        let token = token()?;
        let running = self.guests.begin(name, &remote::push(to, how, &token)?).await?;
        let flow = Arc::new(Flow::default());
        let (writer, stdin) = bridge::to_guest(Arc::clone(&flow), Arc::clone(&self.watch));
        let (watch, sent_all) = (Arc::clone(&self.watch), Arc::clone(&flow));
        let sending = spawn_blocking(move || {
            let before = watch.problems();
            let mut encoder = Encoder::new(writer, "t/");
            produce(&mut encoder)?;
            let removals = if watch.problems() == before { removals } else { Vec::new() };
            watch.remove(removals.iter().filter(|byte| **byte == 0).count());
            watch.enter(Stage::Placing);
            end_stream(encoder, &token, &removals, &sent_all)
        });
        let ended = self.guests.carry(name, running, stdin, Kept::up_to(0), &flow, true).await;
        pushed(name, to, ended, joined(sending).await)
    }

    /// Copies out of a guest to this machine.
    pub(super) async fn pull(&self, name: &VmName, job: Job<'_>) -> Result<(), TransferError> {
        let target = HostTarget::of(job.to, job.into)?;
        let removals = match &job.plan {
            Some(plan) if target.is_dir() => plan.remove.clone(),
            _ => Vec::new(),
        };
        let before = self.watch.problems();
        if !job.nothing_to_copy() {
            self.receive(name, &job, target.clone()).await?;
        }
        if removals.is_empty() || self.watch.problems() != before {
            return Ok(());
        }
        let watch = Arc::clone(&self.watch);
        let removing = spawn_blocking(move || {
            target.open(&watch)?.remove(&removals);
            Ok(())
        });
        Ok(joined(removing).await?)
    }

    async fn receive(&self, name: &VmName, job: &Job<'_>, target: HostTarget) -> Result<(), TransferError> {
        let asked = job.asked();
        let (program, list) = sending_script(job)?;
        let running = self.guests.begin(name, &program).await?;
        let flow = Arc::new(Flow::default());
        let (stdout, reader) = bridge::from_guest(Arc::clone(&flow), Arc::clone(&self.watch));
        let watch = Arc::clone(&self.watch);
        let receiving = spawn_blocking(move || {
            let mut extractor = target.open(&watch)?;
            let read = asked.read(&mut Decoder::new(reader, MAX_ENTRIES), &mut extractor, &watch);
            extractor.finish(read.is_ok());
            if read.is_err() {
                target.take_back();
            }
            read
        });
        let ended = self.guests.carry(name, running, list, stdout, &flow, false).await;
        self.pulled(name, ended, joined(receiving).await)
    }

    /// Copies from one guest to another through this process, which writes what it has understood, not what it got.
    pub(super) async fn relay(
        &self,
        from: &VmName,
        job: Job<'_>,
        name: &VmName,
    ) -> Result<(), TransferError> {
        if job.nothing_to_do() {
            return Ok(());
        }
        let (to, token) = (job.to, token()?);
        let asked = job.asked();
        let (sender, list) = sending_script(&job)?;
        let sends = self.guests.begin(from, &sender).await?;
        let takes = self.guests.begin(name, &remote::push(to, job.how(), &token)?).await?;
        let (from_flow, to_flow) = (Arc::new(Flow::default()), Arc::new(Flow::default()));
        let (stdout, reader) = bridge::from_guest(Arc::clone(&from_flow), Arc::clone(&self.watch));
        // Bytes are counted once.
        let uncounted = Arc::new(Watch::new(|_| {}));
        let (writer, stdin) = bridge::to_guest(Arc::clone(&to_flow), uncounted);
        let (watch, sent_all) = (Arc::clone(&self.watch), Arc::clone(&to_flow));
        let removals = job.removals();
        let relaying = spawn_blocking(move || {
            let before = watch.problems();
            let mut encoder = Encoder::new(writer, "t/");
            asked.read(&mut Decoder::new(reader, MAX_ENTRIES), &mut encoder, &watch)?;
            let removals = if watch.problems() == before { removals } else { Vec::new() };
            watch.remove(removals.iter().filter(|byte| **byte == 0).count());
            watch.enter(Stage::Placing);
            end_stream(encoder, &token, &removals, &sent_all)
        });
        let (sent, taken) = tokio::join!(
            self.guests.carry(from, sends, list, stdout, &from_flow, false),
            self.guests.carry(name, takes, stdin, Kept::up_to(0), &to_flow, true),
        );
        match joined(relaying).await {
            // Who takes no more has said why.
            Err(Stop::Closed) => pushed(name, to, taken, Err(Stop::Closed)),
            Ok(()) => {
                pushed(name, to, taken, Ok(()))?;
                self.pulled(from, sent, Ok(()))
            }
            Err(stop) => self.pulled(from, sent, Err(stop)),
        }
    }

    /// Writes a file of a guest to a stream here.
    pub(super) async fn write_stream(
        &self,
        name: &VmName,
        places: &[&Place],
        stream: Box<dyn Write + Send>,
    ) -> Result<(), TransferError> {
        let tops = places.iter().map(|place| place.source().1.to_owned()).collect();
        let asked = Asked { tops, recursive: false, only: None };
        let program = remote::pull(places.iter().copied(), false)?;
        let running = self.guests.begin(name, &program).await?;
        let flow = Arc::new(Flow::default());
        let (sink, reader) = bridge::from_guest(Arc::clone(&flow), Arc::clone(&self.watch));
        let watch = Arc::clone(&self.watch);
        let receiving = spawn_blocking(move || {
            asked.read(&mut Decoder::new(reader, MAX_ENTRIES), &mut ToStream(stream), &watch)
        });
        let ended = self.guests.carry(name, running, no_input(), sink, &flow, false).await;
        self.pulled(name, ended, joined(receiving).await)
    }

    /// Makes a file in a guest of a stream here.
    pub(super) async fn read_stream(
        &self,
        mut stream: Box<dyn Read + Send>,
        name: &VmName,
        to: &Place,
    ) -> Result<(), TransferError> {
        let token = token()?;
        let running = self.guests.begin(name, &remote::push(to, How::File, &token)?).await?;
        let flow = Arc::new(Flow::default());
        let (writer, input) = bridge::to_guest(Arc::clone(&flow), Arc::clone(&self.watch));
        let (watch, sent_all) = (Arc::clone(&self.watch), Arc::clone(&flow));
        let sending = spawn_blocking(move || {
            watch.file(send_stream(watch.counting(&mut stream), writer, &token, &sent_all)?);
            watch.enter(Stage::Placing);
            Ok(())
        });
        let ended = self.guests.carry(name, running, input, Kept::up_to(0), &flow, true).await;
        // Somebody may still be asked to type; that is not waited for.
        let is_over = ended.as_ref().is_ok_and(|ended| ended.code == 0) || sending.is_finished();
        let sent = if is_over { joined(sending).await } else { Err(Stop::Closed) };
        pushed(name, to, ended, sent)
    }

    /// Lists what a guest has.
    #[expect(clippy::too_many_arguments, reason = "what is listed, and how, is known to one caller")]
    pub(super) async fn list(
        &self,
        vm: &VmName,
        side: Side,
        recursive: bool,
        dir: &OsStr,
        name: &OsStr,
        top: &Name,
        sums: bool,
    ) -> Result<Manifest, TransferError> {
        let program = remote::list(side, recursive, dir, name, sums)?;
        let (list, ended) = self.guests.ask(vm, &program, no_input(), MAX_LIST, &self.watch).await?;
        if list.len() as u64 > MAX_LIST {
            return Err(stopped(StreamError::TooMuch { what: "bytes of a list of files", limit: MAX_LIST }));
        }
        match ended.code {
            0 => {}
            1 => ended.said.lines().for_each(|line| self.watch.problem(format!("{vm}: {line}"))),
            code => return Err(refused(vm, None, code, &ended.said)),
        }
        manifest::parse(&list, top).map_err(stopped)
    }

    /// Says what the end of a guest's sending means.
    fn pulled(
        &self,
        name: &VmName,
        ended: Result<Ended, TransferError>,
        read: Result<(), Stop>,
    ) -> Result<(), TransferError> {
        match (ended, read) {
            (Err(error @ TransferError::Cancelled(_)), _) => Err(error),
            (Err(error), Ok(()) | Err(Stop::Stream(StreamError::Cut) | Stop::Closed)) => Err(error),
            (Ok(Ended { code, said }), Err(Stop::Stream(StreamError::Cut))) if code != 0 => {
                Err(refused(name, None, code, &said))
            }
            (_, Err(stop)) => Err(stop.into()),
            (Ok(Ended { code, said }), Ok(())) => {
                // The last line only says that there were others.
                for line in said.lines().filter(|line| !line.contains("Exiting with failure status")) {
                    let line = format!("{name}: {line}");
                    if code == 0 { self.watch.skipped(line) } else { self.watch.problem(line) }
                }
                if code != 0 && self.watch.problems() == 0 {
                    self.watch.problem(format!("{name}: tar ended with exit code {code}"));
                }
                Ok(())
            }
        }
    }
}

/// Says what the end of a guest's taking means.
fn pushed(
    name: &VmName,
    to: &Place,
    ended: Result<Ended, TransferError>,
    sent: Result<(), Stop>,
) -> Result<(), TransferError> {
    match (ended?, sent) {
        (_, Err(stop @ (Stop::Read { .. } | Stop::Stream(_)))) => Err(stop.into()),
        (Ended { code: 0, .. }, sent) => Ok(sent?),
        (Ended { code, said }, _) => Err(refused(name, Some(to), code, &said)),
    }
}

fn refused(name: &VmName, to: Option<&Place>, code: u8, said: &str) -> TransferError {
    let (message, hint) = remote::meaning(name, to, code, said);
    TransferError::Guest { name: name.clone(), message, hint }
}

fn stopped(error: StreamError) -> TransferError {
    TransferError::Stopped(error.into())
}

/// Returns the script that sends what a job wants, and its input.
fn sending_script(
    job: &Job<'_>,
) -> Result<(crate::ssh::program::Program, mpsc::Receiver<bytes::Bytes>), TransferError> {
    match (&job.plan, job.places) {
        (Some(plan), [place]) if job.recursive => Ok((remote::pull_listed(place)?, name_list(&plan.copy))),
        _ => Ok((remote::pull(job.places.iter().copied(), job.recursive)?, no_input())),
    }
}

/// Returns names as the input of a script.
fn name_list(names: &BTreeSet<Name>) -> mpsc::Receiver<bytes::Bytes> {
    let list: Vec<u8> = names.iter().flat_map(|name| [b"./", name.as_bytes(), b"\0"].concat()).collect();
    let (sender, receiver) = mpsc::channel(1);
    // There is room for one, and nobody has gone away yet.
    let _ = sender.try_send(list.into());
    receiver
}

/// Ends a stream so that the guest can tell that it is whole.
fn end_stream(mut encoder: Encoder<ToGuest>, token: &str, removals: &[u8], flow: &Flow) -> Result<(), Stop> {
    if !removals.is_empty() {
        encoder.raw_file("removed", removals)?;
    }
    encoder.raw_file(token, b"")?;
    encoder.finish()?.flush().map_err(|_| Stop::Closed)?;
    flow.complete();
    Ok(())
}

/// Sends a stream as it is, and after it the word by which the guest can tell that it is whole. Returns its length.
fn send_stream(mut stream: impl Read, mut to: ToGuest, token: &str, flow: &Flow) -> Result<u64, Stop> {
    let mut length = 0;
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(Stop::Read { path: PathBuf::from("/dev/stdin"), source }),
        };
        to.write_all(buffer.get(..count).unwrap_or_default()).map_err(|_| Stop::Closed)?;
        length += count as u64;
    }
    to.write_all(token.as_bytes()).and_then(|()| to.flush()).map_err(|_| Stop::Closed)?;
    flow.complete();
    Ok(length)
}

async fn joined(thread: JoinHandle<Result<(), Stop>>) -> Result<(), Stop> {
    // A thread that panicked has said so.
    thread.await.unwrap_or(Err(Stop::Closed))
}

fn no_input() -> mpsc::Receiver<bytes::Bytes> {
    mpsc::channel(1).1
}

fn token() -> Result<String, TransferError> {
    let path = PathBuf::from("/dev/urandom");
    random::hex128().map_err(|source| TransferError::Host { action: "read", path, source })
}

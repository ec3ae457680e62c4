//! A copy from its arguments to its end: which side is where, what is asked of whom, and what the end of it means.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::host::random;
use crate::transfer::bridge::{self, Flow};
use crate::transfer::decode::Decoder;
use crate::transfer::encode::Encoder;
use crate::transfer::entry::{CHUNK, copy_exactly};
use crate::transfer::error::{Stop, StreamError, TransferError};
use crate::transfer::extract::{Asked, Extractor, MAX_ENTRIES, ToStream};
use crate::transfer::location::{Location, Place};
use crate::transfer::name::Name;
use crate::transfer::remote::{self, How};
use crate::transfer::session::{Ended, Guests};
use crate::transfer::walk::{Source, Walk};
use crate::transfer::watch::Watch;
use crate::vm::name::VmName;

/// What is to be copied where.
#[derive(Clone, Debug)]
pub struct Request {
    /// From where. At least one.
    pub sources: Vec<Location>,
    /// To where.
    pub target: Location,
    /// Whether directories are copied with what is in them.
    pub recursive: bool,
}

/// The streams that `-` stands for.
pub struct Ends {
    /// Read when it is the source.
    pub stdin: Box<dyn Read + Send>,
    /// Written when it is the destination.
    pub stdout: Box<dyn Write + Send>,
}

/// Where the files of one copy come from: all in the same place.
enum Origin<'a> {
    Host(Vec<&'a Place>),
    Guest(&'a VmName, Vec<&'a Place>),
    Stream,
}

/// A copy under way.
pub struct Copy<'a> {
    /// How guests are reached.
    pub guests: Guests<'a>,
    /// Is told how it is getting on.
    pub watch: Arc<Watch>,
}

impl Copy<'_> {
    /// Copies. Single files that could not be copied have been reported when this returns.
    pub async fn run(&self, request: &Request, ends: Ends) -> Result<(), TransferError> {
        let origins = grouped(&request.sources);
        for location in request.sources.iter().chain([&request.target]) {
            if let Location::Guest(name, _) = location {
                self.guests.engine.registry.get(name).map_err(|error| TransferError::Reach(error.into()))?;
            }
        }
        check_names(request)?;
        let several = request.sources.len() > 1;
        let Ends { stdin, stdout } = ends;
        match (&request.target, origins.as_slice()) {
            (Location::Stream, [Origin::Guest(name, places)]) if !several && !request.recursive => {
                return self.to_stream(name, places, stdout).await;
            }
            (Location::Guest(name, place), [Origin::Stream]) if !place.slash && place.last.is_some() => {
                return self.from_stream(stdin, name, place).await;
            }
            (Location::Stream, _) => {
                return Err(usage("only one file of a VM can go to stdout", "ai-vm cp NAME:FILE -"));
            }
            (_, all) if all.iter().any(|origin| matches!(origin, Origin::Stream)) => {
                return Err(usage(
                    "stdin can only become one file of a VM, with a name",
                    "ai-vm cp - NAME:FILE",
                ));
            }
            _ => {}
        }
        for origin in &origins {
            match (origin, &request.target) {
                (Origin::Host(places), Location::Guest(name, to)) => {
                    let into = several || is_into(places, to);
                    self.push(places, name, to, into, request.recursive).await?;
                }
                (Origin::Guest(name, places), Location::Host(to)) => {
                    let into = several || is_into(places, to);
                    self.pull(name, places, to, into, request.recursive).await?;
                }
                (Origin::Guest(from, places), Location::Guest(name, to)) => {
                    let into = several || is_into(places, to);
                    self.relay(from, places, name, to, into, request.recursive).await?;
                }
                _ => {
                    let message = "both sides are on this machine; a file of a VM is NAME:PATH";
                    return Err(usage(message, "cp -r SRC DST, or ai-vm cp -r SRC NAME:DST"));
                }
            }
        }
        Ok(())
    }

    async fn push(
        &self,
        places: &[&Place],
        name: &VmName,
        to: &Place,
        into: bool,
        recursive: bool,
    ) -> Result<(), TransferError> {
        let sources = host_sources(places, recursive)?;
        let token = token()?;
        let program = remote::push(to, if into { How::Into } else { How::Exact }, &token)?;
        let running = self.guests.begin(name, &program).await?;
        let flow = Arc::new(Flow::default());
        let (writer, stdin) = bridge::to_guest(Arc::clone(&flow), Arc::clone(&self.watch));
        let (watch, sent_all) = (Arc::clone(&self.watch), Arc::clone(&flow));
        let sending = spawn_blocking(move || {
            let mut encoder = Encoder::new(writer, "t/");
            let walk = Walk { recursive, wanted: &|_| true, watch: &watch };
            for source in &sources {
                walk.run(source, &mut encoder)?;
            }
            end_stream(encoder, &token, &sent_all)
        });
        let nothing = bridge::Kept::up_to(0);
        let ended = self.guests.carry(name, running, stdin, nothing, &flow, true).await;
        pushed(name, ended, joined(sending).await)
    }

    async fn pull(
        &self,
        name: &VmName,
        places: &[&Place],
        to: &Place,
        into: bool,
        recursive: bool,
    ) -> Result<(), TransferError> {
        let target = HostTarget::of(to, into)?;
        let program = remote::pull(places.iter().copied(), recursive)?;
        let asked = asked(places, recursive);
        let running = self.guests.begin(name, &program).await?;
        let flow = Arc::new(Flow::default());
        let (stdout, reader) = bridge::from_guest(Arc::clone(&flow), Arc::clone(&self.watch));
        let watch = Arc::clone(&self.watch);
        let receiving = spawn_blocking(move || {
            let mut extractor = target.open(&watch)?;
            let mut decoder = Decoder::new(reader, MAX_ENTRIES);
            let read = asked.read(&mut decoder, &mut extractor, &watch);
            extractor.finish(read.is_ok());
            read
        });
        let ended = self.guests.carry(name, running, no_input(), stdout, &flow, false).await;
        self.pulled(name, ended, joined(receiving).await)
    }

    /// Copies from one guest to another through this process, which writes what it has understood, not what it got.
    async fn relay(
        &self,
        from: &VmName,
        places: &[&Place],
        name: &VmName,
        to: &Place,
        into: bool,
        recursive: bool,
    ) -> Result<(), TransferError> {
        let token = token()?;
        let program = remote::push(to, if into { How::Into } else { How::Exact }, &token)?;
        let sender = remote::pull(places.iter().copied(), recursive)?;
        let asked = asked(places, recursive);
        let sends = self.guests.begin(from, &sender).await?;
        let takes = self.guests.begin(name, &program).await?;
        let (from_flow, to_flow) = (Arc::new(Flow::default()), Arc::new(Flow::default()));
        let (stdout, reader) = bridge::from_guest(Arc::clone(&from_flow), Arc::clone(&self.watch));
        // Bytes are counted once.
        let uncounted = Arc::new(Watch::new(|_| {}));
        let (writer, stdin) = bridge::to_guest(Arc::clone(&to_flow), uncounted);
        let (watch, sent_all) = (Arc::clone(&self.watch), Arc::clone(&to_flow));
        let relaying = spawn_blocking(move || {
            let mut encoder = Encoder::new(writer, "t/");
            asked.read(&mut Decoder::new(reader, MAX_ENTRIES), &mut encoder, &watch)?;
            end_stream(encoder, &token, &sent_all)
        });
        let nothing = bridge::Kept::up_to(0);
        let (sent, taken) = tokio::join!(
            self.guests.carry(from, sends, no_input(), stdout, &from_flow, false),
            self.guests.carry(name, takes, stdin, nothing, &to_flow, true),
        );
        let relayed = joined(relaying).await;
        // Who takes no more has said why.
        match relayed {
            Err(Stop::Closed) => pushed(name, taken, Err(Stop::Closed)),
            Ok(()) => pushed(name, taken, Ok(())).and_then(|()| self.pulled(from, sent, Ok(()))),
            Err(stop) => self.pulled(from, sent, Err(stop)),
        }
    }

    async fn to_stream(
        &self,
        name: &VmName,
        places: &[&Place],
        stdout: Box<dyn Write + Send>,
    ) -> Result<(), TransferError> {
        let program = remote::pull(places.iter().copied(), false)?;
        let asked = asked(places, false);
        let running = self.guests.begin(name, &program).await?;
        let flow = Arc::new(Flow::default());
        let (sink, reader) = bridge::from_guest(Arc::clone(&flow), Arc::clone(&self.watch));
        let watch = Arc::clone(&self.watch);
        let receiving = spawn_blocking(move || {
            asked.read(&mut Decoder::new(reader, MAX_ENTRIES), &mut ToStream(stdout), &watch)
        });
        let ended = self.guests.carry(name, running, no_input(), sink, &flow, false).await;
        self.pulled(name, ended, joined(receiving).await)
    }

    async fn from_stream(
        &self,
        mut stdin: Box<dyn Read + Send>,
        name: &VmName,
        to: &Place,
    ) -> Result<(), TransferError> {
        let token = token()?;
        let program = remote::push(to, How::File, &token)?;
        let running = self.guests.begin(name, &program).await?;
        let flow = Arc::new(Flow::default());
        let (mut writer, input) = bridge::to_guest(Arc::clone(&flow), Arc::clone(&self.watch));
        let sent_all = Arc::clone(&flow);
        let sending = spawn_blocking(move || {
            let read = |source| Stop::Read { path: PathBuf::from("/dev/stdin"), source };
            let mut buffer = vec![0; CHUNK];
            loop {
                let count = match stdin.read(&mut buffer) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    other => other.map_err(read)?,
                };
                if count == 0 {
                    break;
                }
                writer.write_all(buffer.get(..count).unwrap_or_default()).map_err(|_| Stop::Closed)?;
            }
            copy_exactly(&mut token.as_bytes(), &mut writer, token.len() as u64).map_err(|_| Stop::Closed)?;
            writer.flush().map_err(|_| Stop::Closed)?;
            sent_all.complete();
            Ok(())
        });
        let nothing = bridge::Kept::up_to(0);
        let ended = self.guests.carry(name, running, input, nothing, &flow, true).await;
        match ended {
            // Somebody may still be asked to type: that is not waited for.
            Err(_) => pushed(name, ended, Ok(())),
            Ok(Ended { code, .. }) if code != 0 && !sending.is_finished() => pushed(name, ended, Ok(())),
            Ok(_) => pushed(name, ended, joined(sending).await),
        }
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
                let (message, hint) = remote::meaning(code, &said);
                Err(TransferError::Guest { name: name.clone(), message, hint })
            }
            (_, Err(stop)) => Err(stop.into()),
            (Ok(Ended { code, said }), Ok(())) => {
                // The last line only says that there were others.
                let lines = said.lines().filter(|line| !line.contains("Exiting with failure status"));
                for line in lines {
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
    ended: Result<Ended, TransferError>,
    sent: Result<(), Stop>,
) -> Result<(), TransferError> {
    match (ended?, sent) {
        (_, Err(stop @ (Stop::Read { .. } | Stop::Stream(_)))) => Err(stop.into()),
        (Ended { code: 0, .. }, sent) => Ok(sent?),
        (Ended { code, said }, _) => {
            let (message, hint) = remote::meaning(code, &said);
            Err(TransferError::Guest { name: name.clone(), message, hint })
        }
    }
}

/// Where a copy to this machine goes.
struct HostTarget {
    dir: PathBuf,
    called: Option<OsString>,
    is_new: bool,
}

impl HostTarget {
    fn of(to: &Place, into: bool) -> Result<Self, TransferError> {
        let path = to.on_host();
        let host = |path: PathBuf, kind: io::ErrorKind| {
            Err(TransferError::Host { action: "copy into", path, source: kind.into() })
        };
        if path.is_dir() {
            return Ok(Self { dir: path, called: None, is_new: false });
        }
        let parent = PathBuf::from(&to.parent);
        match (&to.last, into) {
            _ if !parent.is_dir() => host(parent, io::ErrorKind::NotFound),
            (Some(_), true) if path.symlink_metadata().is_ok() => host(path, io::ErrorKind::NotADirectory),
            (Some(_), true) => Ok(Self { dir: path, called: None, is_new: true }),
            (Some(last), false) => Ok(Self { dir: parent, called: Some(last.clone()), is_new: false }),
            (None, _) => host(path, io::ErrorKind::NotFound),
        }
    }

    fn open(self, watch: &Arc<Watch>) -> Result<Extractor, Stop> {
        let failed = |source| Stop::Write { path: self.dir.clone(), source };
        if self.is_new {
            std::fs::create_dir(&self.dir).map_err(failed)?;
        }
        Extractor::open(&self.dir, self.called.clone(), Arc::clone(watch)).map_err(failed)
    }
}

/// Ends a stream so that the guest can tell that it is whole.
fn end_stream(mut encoder: Encoder<bridge::ToGuest>, token: &str, flow: &Flow) -> Result<(), Stop> {
    encoder.raw_file(token, b"")?;
    encoder.finish()?.flush().map_err(|_| Stop::Closed)?;
    flow.complete();
    Ok(())
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

fn usage(message: &str, command: &str) -> TransferError {
    TransferError::Usage { message: message.to_owned(), hint: format!("`{command}`") }
}

fn is_into(places: &[&Place], to: &Place) -> bool {
    to.slash || to.last.is_none() || places.iter().any(|place| place.last.is_none())
}

/// Puts sources together that follow each other and are in the same place.
fn grouped(sources: &[Location]) -> Vec<Origin<'_>> {
    let mut origins: Vec<Origin<'_>> = Vec::new();
    for source in sources {
        match (source, origins.last_mut()) {
            (Location::Host(place), Some(Origin::Host(places))) => places.push(place),
            (Location::Guest(name, place), Some(Origin::Guest(last, places))) if name == *last => {
                places.push(place);
            }
            (Location::Host(place), _) => origins.push(Origin::Host(vec![place])),
            (Location::Guest(name, place), _) => origins.push(Origin::Guest(name, vec![place])),
            (Location::Stream, _) => origins.push(Origin::Stream),
        }
    }
    origins
}

/// Checks that no source would take another's place.
fn check_names(request: &Request) -> Result<(), TransferError> {
    let mut seen = BTreeSet::new();
    for source in &request.sources {
        if let Location::Guest(_, place) | Location::Host(place) = source {
            let (_, name) = place.source();
            if !seen.insert(name) {
                return Err(TransferError::Usage {
                    message: format!("two sources are called `{}`", name.to_string_lossy().escape_debug()),
                    hint: "copy one after the other, each to a name of its own".to_owned(),
                });
            }
        }
    }
    Ok(())
}

fn asked(places: &[&Place], recursive: bool) -> Asked {
    Asked { tops: places.iter().map(|place| place.source().1.to_owned()).collect(), recursive, only: None }
}

/// Looks at the sources here before anything is asked of a VM.
fn host_sources(places: &[&Place], recursive: bool) -> Result<Vec<Source>, TransferError> {
    let check = |place: &&Place| {
        let path = place.on_host();
        let failed = |source| TransferError::Host { action: "read", path: path.clone(), source };
        let found = if recursive { path.symlink_metadata() } else { path.metadata() }.map_err(failed)?;
        if found.is_dir() && !recursive {
            let shown = path.display().to_string();
            return Err(TransferError::Usage {
                message: format!("`{shown}` is a directory"),
                hint: format!("copy it with what is in it: `ai-vm cp -r {shown} NAME:`"),
            });
        }
        let name = match &place.last {
            None => Ok(Name::default()),
            Some(last) => Name::parse(last.as_bytes()),
        };
        let name = name.map_err(|reason| failed(io::Error::other(reason)))?;
        Ok(Source { path, name })
    };
    places.iter().map(check).collect()
}

//! A copy from its arguments to its end: what is where, and which way each part of it goes.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::sync::Arc;

use tokio::task::spawn_blocking;

use crate::transfer::entry::{Destination, Entry};
use crate::transfer::error::{Stop, StreamError, TransferError};
use crate::transfer::host_target::{self, HostTarget};
use crate::transfer::location::{Location, Place};
use crate::transfer::manifest::{Collector, Manifest};
use crate::transfer::plan::{self, Options};
use crate::transfer::remote::Side;
use crate::transfer::session::Guests;
use crate::transfer::walk::{Source, Walk};
use crate::transfer::watch::{Stage, Watch};
use crate::transfer::ways::Job;
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
    /// Whether only what has changed is copied, and what the source lacks removed.
    pub options: Options,
    /// Whether contents are compared, instead of sizes and times.
    pub sums: bool,
}

/// The streams that `-` stands for.
pub struct Ends {
    /// Read when it is the source.
    pub stdin: Box<dyn Read + Send>,
    /// Written when it is the destination.
    pub stdout: Box<dyn Write + Send>,
}

/// Where the files of one copy come from: all of the same place.
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
        for location in request.sources.iter().chain([&request.target]) {
            if let Location::Guest(name, _) = location {
                self.guests.engine.registry.get(name).map_err(|error| TransferError::reach(error.into()))?;
            }
        }
        check_names(request)?;
        let compares = request.options.update || request.options.delete;
        let origins = grouped(&request.sources, !compares);
        self.watch.consists_of(origins.len());
        match (&request.target, origins.as_slice()) {
            (_, all) if !request.has_stream() => {
                for origin in all {
                    self.part(origin, request).await?;
                }
                Ok(())
            }
            (Location::Stream, [Origin::Guest(name, places)]) if places.len() == 1 && !request.recursive => {
                self.write_stream(name, places, ends.stdout).await
            }
            (Location::Guest(name, to), [Origin::Stream]) if !to.slash && to.last.is_some() => {
                self.read_stream(ends.stdin, name, to).await
            }
            (Location::Stream, _) => {
                Err(usage("only one file of a VM can go to stdout", "ai-vm cp NAME:FILE -"))
            }
            _ => Err(usage("stdin can only become one file of a VM, with a name", "ai-vm cp - NAME:FILE")),
        }
    }

    /// Copies what comes from one place.
    async fn part(&self, origin: &Origin<'_>, request: &Request) -> Result<(), TransferError> {
        let (Origin::Host(places) | Origin::Guest(_, places)) = origin else { return Ok(()) };
        let to = match &request.target {
            Location::Guest(_, to) | Location::Host(to) => to,
            Location::Stream => return Ok(()),
        };
        let stands_for_inside = places.iter().any(|place| place.last.is_none());
        let into = request.sources.len() > 1 || to.slash || to.last.is_none() || stands_for_inside;
        let mut job = Job { places, to, into, recursive: request.recursive, plan: None };
        if let (true, [place]) = (request.options.update || request.options.delete, places.as_slice()) {
            self.watch.enter(Stage::Comparing);
            let plan = self.plan(origin, place, &job, request).await?;
            self.watch.expect(plan.bytes);
            job.plan = Some(plan);
        }
        match (origin, &request.target) {
            (Origin::Host(_), Location::Guest(name, _)) => self.push(job, name).await,
            (Origin::Guest(name, _), Location::Host(_)) => self.pull(name, job).await,
            (Origin::Guest(from, _), Location::Guest(name, _)) => self.relay(from, job, name).await,
            _ => {
                let message = "both sides are on this machine; a file of a VM is NAME:PATH";
                Err(usage(message, "ai-vm cp -r SRC NAME:DST"))
            }
        }
    }

    /// Compares both sides.
    async fn plan(
        &self,
        origin: &Origin<'_>,
        place: &Place,
        job: &Job<'_>,
        request: &Request,
    ) -> Result<plan::Plan, TransferError> {
        let top = host_target::name_of(place).map_err(|reason| {
            let name = place.path.to_string_lossy().escape_debug().to_string();
            TransferError::Stopped(StreamError::Name { name, reason }.into())
        })?;
        let before = self.watch.problems();
        let (recursive, sums) = (job.recursive, request.sums);
        let (dir, name) = place.source();
        let source = async {
            match origin {
                Origin::Guest(vm, _) => {
                    let mut manifest = self.list(vm, Side::Source, recursive, dir, name, &top, sums).await?;
                    if matches!(request.target, Location::Host(_)) {
                        // As they will be here.
                        manifest.values_mut().for_each(|item| item.mode &= !super::extract::NOT_FROM_GUESTS);
                    }
                    Ok((manifest, self.watch.problems() == before))
                }
                _ => {
                    let sources = host_target::sources(&[place], recursive)?;
                    listed(
                        move |watch, collector| {
                            let walk = Walk { recursive, wanted: &|_| true, watch };
                            sources
                                .iter()
                                .try_for_each(|source| walk.run(source, collector as &mut dyn Destination))
                        },
                        sums,
                    )
                    .await
                }
            }
        };
        let target = async {
            match &request.target {
                Location::Guest(vm, to) => {
                    self.list(vm, Side::Target, recursive, &to.path, name, &top, sums).await
                }
                _ => {
                    let target = HostTarget::of(job.to, job.into)?;
                    let top = top.clone();
                    // What cannot be read here is there again when it is written.
                    let there = listed(
                        move |watch, collector| {
                            collector.manifest = target.manifest(&top, sums, watch)?;
                            Ok(())
                        },
                        sums,
                    );
                    Ok(there.await?.0)
                }
            }
        };
        // Both sides at a time. The source begins: what can be seen here to be wrong is told without asking anybody.
        let ((source, is_whole), target) = tokio::try_join!(source, target)?;
        // A source that could not be looked at as a whole does not tell what it lacks.
        let delete = request.options.delete && is_whole && self.watch.problems() == before;
        Ok(plan::plan(&source, &target, Options { delete, ..request.options }))
    }
}

/// Finds out, in a thread, how much there is to be copied from here, while that begins. Who copies says what cannot be read.
pub(super) fn measure(sources: Vec<Source>, recursive: bool, watch: Arc<Watch>) {
    spawn_blocking(move || {
        let silent = Watch::new(|_| {});
        let mut measure = Measure { bytes: 0, watch: &watch };
        let walk = Walk { recursive, wanted: &|_| true, watch: &silent };
        if sources.iter().try_for_each(|source| walk.run(source, &mut measure)).is_ok() {
            let bytes = measure.bytes;
            watch.expect(bytes);
        }
    });
}

/// Adds up what it is given, and reads none of it.
struct Measure<'a> {
    bytes: u64,
    watch: &'a Watch,
}

impl Destination for Measure<'_> {
    fn put(&mut self, entry: &Entry, _: &mut dyn Read) -> Result<(), Stop> {
        self.bytes += entry.content();
        if self.watch.is_cancelled() { Err(Stop::Closed) } else { Ok(()) }
    }
}

/// Makes a manifest in a thread; also tells whether everything could be looked at. Who copies says what could not.
async fn listed(
    work: impl FnOnce(&Watch, &mut Collector) -> Result<(), Stop> + Send + 'static,
    sums: bool,
) -> Result<(Manifest, bool), TransferError> {
    let listing = spawn_blocking(move || {
        let watch = Watch::new(|_| {});
        let mut collector = Collector { sums, ..Collector::default() };
        work(&watch, &mut collector).map(|()| (collector.manifest, watch.problems() == 0))
    });
    // A thread that panicked has said so.
    Ok(listing.await.unwrap_or(Err(Stop::Closed))?)
}

impl Request {
    /// Finds what is wrong with it whatever the VMs say.
    pub fn check(&self) -> Result<(), TransferError> {
        check_names(self)?;
        let here = self.sources.iter().filter_map(|source| match source {
            Location::Host(place) => Some(place),
            Location::Guest(..) | Location::Stream => None,
        });
        host_target::sources(&here.collect::<Vec<_>>(), self.recursive).map(|_| ())
    }

    /// Returns the VM that it is most about: where it goes to, else where the first comes from.
    pub fn vm(&self) -> Option<&VmName> {
        [&self.target].into_iter().chain(&self.sources).find_map(|location| match location {
            Location::Guest(name, _) => Some(name),
            Location::Host(_) | Location::Stream => None,
        })
    }

    fn has_stream(&self) -> bool {
        self.sources.iter().chain([&self.target]).any(|location| *location == Location::Stream)
    }
}

fn usage(message: &str, command: &str) -> TransferError {
    TransferError::Usage { message: message.to_owned(), hint: format!("`{command}`") }
}

/// Puts sources together that follow each other and are in the same place; each for itself where that is not wanted.
fn grouped(sources: &[Location], together: bool) -> Vec<Origin<'_>> {
    let mut origins: Vec<Origin<'_>> = Vec::new();
    for source in sources {
        match (source, origins.last_mut().filter(|_| together)) {
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

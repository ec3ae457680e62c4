//! Where on this machine a copy goes: into a directory, or to a name.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::transfer::error::{Stop, TransferError};
use crate::transfer::extract::Extractor;
use crate::transfer::location::Place;
use crate::transfer::manifest::{Collector, Manifest};
use crate::transfer::name::Name;
use crate::transfer::walk::{Source, Walk};
use crate::transfer::watch::Watch;

/// Where a copy to this machine goes.
#[derive(Clone, Debug)]
pub struct HostTarget {
    /// The directory that the files come into.
    dir: PathBuf,
    /// What the only source is to be called, when it is not to keep its name.
    called: Option<OsString>,
    /// Whether the directory is still to be made.
    is_new: bool,
}

impl HostTarget {
    /// Looks at what is there.
    pub fn of(to: &Place, into: bool) -> Result<Self, TransferError> {
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

    /// Tells whether what comes keeps its name.
    pub const fn is_dir(&self) -> bool {
        self.called.is_none()
    }

    /// Makes ready for what comes.
    pub fn open(&self, watch: &Arc<Watch>) -> Result<Extractor, Stop> {
        let failed = |source| Stop::Write { path: self.dir.clone(), source };
        if self.is_new {
            std::fs::create_dir(&self.dir).map_err(failed)?;
        }
        Extractor::open(&self.dir, self.called.clone(), Arc::clone(watch)).map_err(failed)
    }

    /// Takes a directory away again that was made for what did not come.
    pub fn take_back(&self) {
        if self.is_new {
            // It stays when something of the copy is in it.
            let _ = std::fs::remove_dir(&self.dir);
        }
    }

    /// Lists what is in the place of a source of this name.
    pub fn manifest(&self, name: &Name, sums: bool, watch: &Watch) -> Result<Manifest, Stop> {
        let path = match &self.called {
            Some(called) => self.dir.join(called),
            None => self.dir.join(name.as_os_str()),
        };
        let mut collector = Collector { sums, ..Collector::default() };
        if path.symlink_metadata().is_ok() {
            let walk = Walk { recursive: true, wanted: &|_| true, watch };
            walk.run(&Source { path, name: name.clone() }, &mut collector)?;
        }
        Ok(collector.manifest)
    }
}

/// Looks at sources here before anything is asked of a VM.
pub fn sources(places: &[&Place], recursive: bool) -> Result<Vec<Source>, TransferError> {
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
        let name = name_of(place).map_err(|reason| failed(io::Error::other(reason)))?;
        Ok(Source { path, name })
    };
    places.iter().map(check).collect()
}

/// Returns the name that a source has in the copy; the top for one that stands for its inside.
pub fn name_of(place: &Place) -> Result<Name, crate::transfer::name::BadName> {
    Name::parse(place.source().1.as_bytes())
}

//! Reads and changes the registry.

use std::fs::File;
use std::io;
use std::time::Duration;

use crate::host::files::{self, FileError, failed};
use crate::host::layout::{Layout, VmDir};
use crate::host::lock;
use crate::host::staging::{Staged, Staging};
use crate::registry::error::RegistryError;
use crate::registry::openssh;
use crate::registry::ports::{self, PortRequest, Probe, Reserved};
use crate::registry::record::{self, BrokenRecord, Record};
use crate::vm::name::VmName;

/// How long to wait for another process that is deciding names and ports; each takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// One VM as the registry has it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The name, from the directory.
    pub name: VmName,
    /// The record, or what is wrong with it.
    pub record: Result<Record, BrokenRecord>,
}

/// The registry of one data directory.
#[derive(Clone, Debug)]
pub struct Registry {
    layout: Layout,
}

impl Registry {
    /// Uses a data directory that has been checked.
    pub fn new(layout: Layout) -> Self {
        Self { layout }
    }

    /// Returns where everything lies.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Returns the directory of a VM, whether it exists or not.
    pub fn dir(&self, name: &VmName) -> VmDir {
        self.layout.vm(name)
    }

    /// Returns the names of all VMs in order, without reading their records.
    pub fn names(&self) -> Result<Vec<VmName>, FileError> {
        let vms = self.layout.vms();
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&vms).map_err(failed("list", &vms))? {
            let entry = entry.map_err(failed("list", &vms))?;
            // Only names that ai-vm would accept are VMs; anything else was put there by somebody.
            if let Some(name) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// Returns all VMs in order of their names. A broken one is an entry like any other.
    pub fn list(&self) -> Result<Vec<Entry>, FileError> {
        let names = self.names()?;
        // A VM that was removed since the names were read is no longer there to be listed.
        Ok(names.into_iter().filter_map(|name| self.entry(name)).collect())
    }

    /// Returns one VM; `None` if there is none of that name.
    pub fn entry(&self, name: VmName) -> Option<Entry> {
        let dir = self.dir(&name);
        let file = dir.file(VmDir::RECORD);
        let record = match files::read_bounded(&file, record::MAX_BYTES) {
            Ok(content) => record::parse(&content, file, &name),
            Err(_) if !dir.path().exists() => return None,
            Err(error) => {
                let reason = error.source.to_string();
                Err(BrokenRecord { file, line: None, reason, ports: Vec::new() })
            }
        };
        Some(Entry { name, record })
    }

    /// Returns the record of one VM.
    pub fn get(&self, name: &VmName) -> Result<Record, RegistryError> {
        let Some(entry) = self.entry(name.clone()) else { return Err(self.not_found(name)) };
        entry.record.map_err(|problem| RegistryError::Broken { name: name.clone(), problem })
    }

    /// Makes the error for a name that does not exist, with the nearest one that does.
    pub fn not_found(&self, name: &VmName) -> RegistryError {
        let names = self.names().unwrap_or_default();
        let distances = names.into_iter().map(|other| (edit_distance(other.as_str(), name.as_str()), other));
        let nearest = distances.min_by_key(|(distance, _)| *distance);
        let similar = nearest.filter(|(distance, _)| *distance <= 2).map(|(_, other)| other);
        RegistryError::NotFound { name: name.clone(), similar }
    }

    /// Creates a VM: `prepare` fills its directory while nobody sees it, then ports are decided and the
    /// directory appears under its name, complete. A machine that something else runs asks for no ports.
    pub fn create(
        &self,
        mut record: Record,
        request: Option<&PortRequest>,
        probe: &dyn Probe,
        prepare: impl FnOnce(&VmDir) -> Result<(), FileError>,
    ) -> Result<Record, RegistryError> {
        let name = record.name.clone();
        let place = self.dir(&name);
        // Spares the work below; the rename decides.
        if place.path().exists() {
            return Err(RegistryError::Exists { name });
        }
        let staging = Staging::enter(&self.layout)?;
        let staged = staging.new_dir()?;
        let dir = VmDir::at(staged.path());
        prepare(&dir)?;
        let _lock = self.lock()?;
        if let Some(request) = request {
            record.forwards = ports::assign(request, &self.reserved()?, probe)?;
        }
        openssh::keep(&self.layout, &record, &dir)?;
        files::write_new(&dir.file(VmDir::RECORD), encode(&record)?.as_bytes())?;
        staged.place(place.path()).map_err(|error| match error.source.kind() {
            io::ErrorKind::AlreadyExists => RegistryError::Exists { name },
            _ => error.into(),
        })?;
        Ok(record)
    }

    /// Changes a record. `change` gets the record and the host ports that other VMs have.
    pub fn update<E: From<RegistryError>>(
        &self,
        name: &VmName,
        change: impl FnOnce(&mut Record, &Reserved) -> Result<(), E>,
    ) -> Result<Record, E> {
        let _lock = self.lock()?;
        let before = self.get(name)?;
        let mut record = before.clone();
        let mut others = self.reserved().map_err(RegistryError::from)?;
        others.retain(|_, owner| owner != name);
        change(&mut record, &others)?;
        if record != before {
            let dir = self.dir(name);
            let text = encode(&record)?;
            files::replace(&dir.file(VmDir::RECORD), text.as_bytes()).map_err(RegistryError::from)?;
            // The change has happened. `ssh-config --install` makes up for what may be missing here.
            let _ = openssh::keep(&self.layout, &record, &dir);
        }
        Ok(record)
    }

    /// Brings what OpenSSH is told up to date for every VM whose record can be read: it may lack altogether, or have been
    /// written when the data directory was somewhere else. Writes the script by which OpenSSH connects, if there is one.
    pub fn tell_openssh(&self, script: Option<&str>) -> Result<(), RegistryError> {
        let _lock = self.lock()?;
        if let Some(script) = script {
            files::replace(&self.layout.ssh_proxy(), script.as_bytes())?;
        }
        for entry in self.list()? {
            if let Ok(record) = &entry.record {
                openssh::keep(&self.layout, record, &self.dir(&entry.name))?;
            }
        }
        Ok(())
    }

    /// Takes a VM out of the registry, ports and all; its files are deleted when the returned value is dropped.
    ///
    /// The caller holds the VM's run lock, so that nothing runs from the directory.
    pub fn remove(&self, name: &VmName) -> Result<Staged, RegistryError> {
        let staging = Staging::enter(&self.layout)?;
        let _lock = self.lock()?;
        staging.take(self.dir(name).path()).map_err(|error| match error.source.kind() {
            io::ErrorKind::NotFound => self.not_found(name),
            _ => error.into(),
        })
    }

    /// Returns the host ports of all VMs, running or not, broken or not.
    fn reserved(&self) -> Result<Reserved, FileError> {
        let mut reserved = Reserved::new();
        for Entry { name, record } in self.list()? {
            let ports = match record {
                Ok(record) => record.ports().collect(),
                Err(broken) => broken.ports,
            };
            reserved.extend(ports.into_iter().map(|port| (port, name.clone())));
        }
        Ok(reserved)
    }

    fn lock(&self) -> Result<File, RegistryError> {
        Ok(lock::exclusive(&self.layout.registry_lock(), PATIENCE)?)
    }
}

fn encode(record: &Record) -> Result<String, RegistryError> {
    record.to_toml().map_err(|source| RegistryError::Encode { name: record.name.clone(), source })
}

/// Counts the insertions, deletions and replacements that turn one text into another (Levenshtein).
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut next = vec![i + 1];
        for ((y, above_left), above) in b.bytes().zip(&row).zip(row.iter().skip(1)) {
            let left = next.last().copied().unwrap_or(i + 1);
            next.push((above_left + usize::from(x != y)).min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;

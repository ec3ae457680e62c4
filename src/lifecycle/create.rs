//! Registers a VM. Makes no image and boots nothing.

use std::io;
use std::time::SystemTime;

use crate::diagnostic::{Diagnostic, Kind};
use crate::host::files::FileError;
use crate::host::random;
use crate::registry::error::RegistryError;
use crate::registry::ports::{Machine, PortRequest};
use crate::registry::record::{Record, SCHEMA};
use crate::registry::store::Registry;
use crate::vm::label::Labels;
use crate::vm::name::VmName;
use crate::vm::spec::{AcceleratorChoice, Guest, Hardware, UserName};

/// QEMU's machine type for new VMs: the newest of the oldest QEMU that ai-vm supports. A record keeps it, so a
/// newer QEMU shows a guest the machine that it knows.
const MACHINE: &str = "pc-q35-7.2";

/// What a new VM should be.
#[derive(Clone, Debug)]
pub struct NewVm {
    /// Its name.
    pub name: VmName,
    /// Its hardware.
    pub hardware: Hardware,
    /// Its system.
    pub guest: Guest,
    /// The login name in it.
    pub user: UserName,
    /// How its processors are run.
    pub accel: AcceleratorChoice,
    /// Its forwarded ports.
    pub ports: PortRequest,
    /// Its labels.
    pub labels: Labels,
}

/// Why a VM was not created. Nothing of it exists then.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The registry refused it.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The system gave no random bytes.
    #[error("cannot make an identity for the VM")]
    Random(#[from] io::Error),
}

impl Diagnostic for CreateError {
    fn kind(&self) -> Kind {
        match self {
            Self::Registry(error) => error.kind(),
            Self::Random(_) => Kind::Failed,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Registry(error) => error.hints(),
            Self::Random(_) => Vec::new(),
        }
    }
}

/// Registers a VM under its name, with ports of its own.
pub fn create(registry: &Registry, new: NewVm) -> Result<Record, CreateError> {
    let record = Record {
        schema: SCHEMA,
        name: new.name,
        uuid: random::uuid4()?,
        created: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        user: new.user,
        hardware: new.hardware,
        machine: MACHINE.to_owned(),
        accel: new.accel,
        base: None,
        guest: new.guest,
        labels: new.labels,
        forwards: Vec::new(),
        unknown: toml::Table::new(),
    };
    let prepare = |_: &_| Ok::<(), FileError>(());
    Ok(registry.create(record, &new.ports, &Machine, prepare)?)
}

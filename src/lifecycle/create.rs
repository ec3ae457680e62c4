//! Registers a VM. Makes no image and boots nothing.

use std::path::PathBuf;
use std::time::SystemTime;

use crate::host::files;
use crate::host::layout::{Identity, VmDir};
use crate::host::random;
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::folder;
use crate::qemu::args::MACHINE;
use crate::registry::ports::{Machine, PortRequest};
use crate::registry::record::{Record, SCHEMA};
use crate::registry::store::Registry;
use crate::ssh::keys;
use crate::vm::desktop::{Desktop, Resolution};
use crate::vm::guest::Guest;
use crate::vm::label::Labels;
use crate::vm::login_mode::LoginMode;
use crate::vm::name::VmName;
use crate::vm::share::Share;
use crate::vm::spec::{AcceleratorChoice, Hardware, UserName};

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
    /// How Claude Code in it is logged in.
    pub claude: LoginMode,
    /// The folders of this machine that it sees.
    pub shares: Vec<Share>,
    /// Whether every start begins with a clean disk.
    pub overlay: bool,
    /// Whether it has sound.
    pub audio: bool,
    /// How many pixels its screen has, if it has one.
    pub desktop: Option<Resolution>,
    /// The user's folder in which its disk is to lie.
    pub dir: Option<PathBuf>,
}

/// Registers a VM under its name, with ports and an identity of its own. If it fails, nothing of it exists.
pub fn create(registry: &Registry, new: NewVm) -> Result<Record, LifecycleError> {
    let choose = |dir: &PathBuf| folder::choose(registry, dir, &new.name, &new.shares);
    let dir = new.dir.as_ref().map(choose).transpose()?;
    let login = keys::generate(&format!("ai-vm-{}", new.name))?;
    let host = keys::generate(&new.name.hostname())?;
    let machine_id = random::hex128()?;
    let record = Record {
        schema: SCHEMA,
        name: new.name,
        uuid: random::uuid4()?,
        created: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        user: new.user,
        hardware: Some(new.hardware),
        machine: Some(MACHINE.to_owned()),
        accel: new.accel,
        base: None,
        systems: Vec::new(),
        guest: new.guest,
        claude: new.claude,
        labels: new.labels,
        forwards: Vec::new(),
        overlay: new.overlay,
        audio: new.audio,
        desktop: new.desktop.map(Desktop::new),
        dir,
        shares: new.shares,
        unknown: toml::Table::new(),
    };
    let prepare = |dir: &VmDir| {
        files::create_private_dir(&dir.file(VmDir::IDENTITY))?;
        let contents = [
            (Identity::LOGIN_KEY, &login.private),
            (Identity::LOGIN_PUBLIC_KEY, &login.public),
            (Identity::HOST_KEY, &host.private),
            (Identity::HOST_PUBLIC_KEY, &host.public),
            (Identity::MACHINE_ID, &machine_id),
        ];
        contents.into_iter().try_for_each(|(file, text)| files::write_new(&dir.file(file), text.as_bytes()))
    };
    Ok(registry.create(record, Some(&new.ports), &Machine, prepare)?)
}

//! The options that say what a new VM should be, shared by `create` and `up`.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use crate::cli::commands::share::wanted;
use crate::cli::context::Context;
use crate::cli::failure::UsageError;
use crate::cli::values::value;
use crate::diagnostic::Diagnostic;
use crate::guest::nixos::flake;
use crate::host::files::failed;
use crate::lifecycle::create::NewVm;
use crate::lifecycle::shares::{self, Wanted};
use crate::project::file::Wishes;
use crate::registry::ports::{DEFAULT_GUEST_PORTS, PortRequest};
use crate::registry::record::Record;
use crate::vm::desktop::Resolution;
use crate::vm::guest::{Family, Guest, Nixos};
use crate::vm::label::Label;
use crate::vm::login_mode::LoginMode;
use crate::vm::name::VmName;
use crate::vm::port::{ForwardRequest, HostPort, Port, loopback};
use crate::vm::share::Share;
use crate::vm::size::{CpuCount, DiskSize, MemorySize};
use crate::vm::spec::{AcceleratorChoice, Hardware, SpecError, UserName};

/// The folders of this machine that a new VM sees.
#[derive(Clone, Debug, Default, PartialEq, clap::Args)]
pub struct SpecShares {
    /// Let the VM read and change a folder of this machine, as /mnt/host-rw/NAME
    #[arg(long, value_name = "FOLDER")]
    pub share_rw: Vec<PathBuf>,
    /// Let the VM read a folder of this machine, as /mnt/host-ro/NAME
    #[arg(long, value_name = "FOLDER")]
    pub share_ro: Vec<PathBuf>,
    /// Share system folders, whole homes and secrets too
    #[arg(long)]
    pub i_know: bool,
}

impl SpecShares {
    fn wanted(&self) -> Vec<Wanted> {
        wanted(&self.share_rw, &self.share_ro, self.i_know)
    }

    fn are_met_by(&self, shares: &[Share]) -> bool {
        let is_there = |wanted: &Wanted| {
            let path = std::fs::canonicalize(&wanted.path);
            path.is_ok_and(|path| shares.iter().any(|share| share.path == path && share.mode == wanted.mode))
        };
        self.wanted().iter().all(is_there)
    }
}

/// What a new VM should be.
#[derive(Clone, Debug, Default, PartialEq, clap::Args)]
#[command(next_help_heading = "New VM")]
pub struct SpecArgs {
    /// Memory: 8, 8gb, 512mb [default: 8gb]
    #[arg(short, long, value_name = "SIZE", value_parser = value::<MemorySize>)]
    pub ram: Option<MemorySize>,
    /// Processors: 4, 4cpu [default: 2]
    #[arg(short, long, value_name = "COUNT", value_parser = value::<CpuCount>)]
    pub cpu: Option<CpuCount>,
    /// Disk: 50, 50gb, 1tb; takes space only as the guest writes [default: 50gb]
    #[arg(short, long, value_name = "SIZE", value_parser = value::<DiskSize>)]
    pub storage: Option<DiskSize>,
    /// The system: `nixos` is built by Nix, `debian` is made on this machine, `image` is one you bring with --image
    /// [default: nixos where there is Nix, else debian]
    #[arg(long, value_name = "FAMILY", value_parser = value::<Family>)]
    pub guest: Option<Family>,
    /// The flake that a NixOS is built from [default: see `ai-vm config`]
    #[arg(long, value_name = "REF")]
    pub flake: Option<String>,
    /// A disk image with cloud-init: a file, or an https URL with --sha256
    #[arg(long, value_name = "FILE|URL")]
    pub image: Option<String>,
    /// The SHA-256 checksum of the image file
    #[arg(long, value_name = "DIGEST", requires = "image")]
    pub sha256: Option<String>,
    /// The login name in the guest [default: yours]
    #[arg(long, value_name = "NAME", value_parser = value::<UserName>)]
    pub user: Option<UserName>,
    /// How processors are run: `kvm`, `tcg` (emulation), or `auto`: by what really works [default: auto]
    #[arg(long, value_name = "HOW", value_parser = value::<AcceleratorChoice>)]
    pub accel: Option<AcceleratorChoice>,
    /// Forward a host port to a guest port: 8080:80, or auto:80 for a free one
    #[arg(short, long = "port", value_name = "HOST:GUEST", value_parser = value::<ForwardRequest>)]
    pub port: Vec<ForwardRequest>,
    /// The host port for SSH [default: a free one from 2222 up]
    #[arg(long, value_name = "PORT", value_parser = value::<Port>)]
    pub ssh_port: Option<Port>,
    /// Forward only SSH and what -p says, not 3001 and 9080
    #[arg(long)]
    pub no_default_ports: bool,
    /// The host address that listens. Anything but loopback opens the VM to the network [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    pub bind: Option<Ipv4Addr>,
    /// A label, to name many VMs at once later
    #[arg(short, long = "label", value_name = "KEY=VALUE", value_parser = value::<Label>)]
    pub labels: Vec<Label>,
    /// How Claude Code in the VM is logged in: `none`, `token` (see `ai-vm creds set`), or `copy`: as on this machine
    /// [default: none]
    #[arg(long, value_name = "MODE", value_parser = value::<LoginMode>)]
    pub claude: Option<LoginMode>,
    /// The same as --claude copy
    #[arg(long, conflicts_with = "claude")]
    pub share_claude_auth: bool,
    /// The folders of this machine that it sees.
    #[command(flatten)]
    pub shares: SpecShares,
    /// Begin every start with a clean disk. What the VM forgets then: all files, packages, settings and logins in it; what it
    /// keeps: its name, ports and keys, and what is in shared folders
    #[arg(short, long)]
    pub overlay: bool,
    /// Let the VM play to this machine's sound, and hear its microphone (PulseAudio or PipeWire)
    #[arg(short, long)]
    pub audio: bool,
    /// Give the VM a screen with a desktop on it, Xfce in a Debian and KDE Plasma in a NixOS: a window where this QEMU can open
    /// one, else for a viewer on loopback; `info` says where. The first Debian with it makes an image of its own
    #[arg(short, long)]
    pub desktop: bool,
    /// The size of that screen in pixels [default: 1920x1080]
    #[arg(long, value_name = "WIDTHxHEIGHT", requires = "desktop", value_parser = value::<Resolution>)]
    pub resolution: Option<Resolution>,
    /// The folder in which its disk is to lie, where a command has an option for that.
    #[arg(skip)]
    pub dir: Option<PathBuf>,
}

impl SpecArgs {
    /// Completes what was typed with what a repository says, which must have been agreed to as far as it needs that.
    pub fn or(mut self, wishes: &Wishes) -> Self {
        self.ram = self.ram.or(wishes.ram);
        self.cpu = self.cpu.or(wishes.cpu);
        self.storage = self.storage.or(wishes.storage);
        self.user = self.user.or_else(|| wishes.user.clone());
        // Who names a guest in any way has decided all of it.
        if self.guest.is_none() && self.image.is_none() && self.flake.is_none() {
            self.guest = wishes.guest;
            self.image.clone_from(&wishes.image);
            self.sha256.clone_from(&wishes.sha256);
            self.flake.clone_from(&wishes.flake);
        }
        if self.claude().is_none() {
            self.claude = wishes.claude;
        }
        self.overlay |= wishes.overlay;
        if self.port.is_empty() {
            self.port.clone_from(&wishes.ports);
        }
        if self.labels.is_empty() {
            self.labels.clone_from(&wishes.labels);
        }
        if self.shares.share_rw.is_empty() && self.shares.share_ro.is_empty() {
            self.shares.share_rw.clone_from(&wishes.share_rw);
            self.shares.share_ro.clone_from(&wishes.share_ro);
        }
        self
    }

    /// Names what was asked for that an existing VM has otherwise.
    pub fn differences(&self, ctx: &Context, record: &Record) -> Vec<&'static str> {
        fn differs<T: PartialEq>(asked: Option<&T>, has: Option<&T>) -> bool {
            asked.is_some() && asked != has
        }
        let hardware = record.hardware.as_ref();
        let fixed = |port: &ForwardRequest| match port.host {
            HostPort::Fixed(host) => record.forwards.iter().any(|f| (f.host, f.guest) == (host, port.guest)),
            HostPort::Auto => record.forwards.iter().any(|f| f.guest == port.guest),
        };
        let guest = self.guest.is_some() || self.image.is_some() || self.flake.is_some();
        let checks = [
            ("memory", differs(self.ram.as_ref(), hardware.map(|has| &has.memory))),
            ("processors", differs(self.cpu.as_ref(), hardware.map(|has| &has.cpus))),
            ("disk", differs(self.storage.as_ref(), hardware.map(|has| &has.disk))),
            ("guest", guest && !self.guest(ctx).is_ok_and(|asked| record.guest.is_as(&asked))),
            ("user", differs(self.user.as_ref(), Some(&record.user))),
            ("accelerator", differs(self.accel.as_ref(), Some(&record.accel))),
            ("ports", !self.port.iter().all(fixed)),
            ("SSH port", self.ssh_port.is_some_and(|port| record.ssh().map(|f| f.host) != Some(port))),
            ("Claude login", differs(self.claude().as_ref(), Some(&record.claude))),
            ("shares", !self.shares.are_met_by(&record.shares)),
            ("overlay", self.overlay && !record.overlay),
            ("audio", self.audio && !record.audio),
            ("desktop", self.desktop && record.desktop.is_none()),
            ("folder", self.dir.is_some() && !self.is_in(record)),
            (
                "resolution",
                differs(self.resolution.as_ref(), record.desktop.map(|has| has.resolution).as_ref()),
            ),
            ("labels", !self.labels.iter().all(|label| label.matches(&record.labels))),
        ];
        checks.into_iter().filter(|(_, differs)| *differs).map(|(what, _)| what).collect()
    }

    /// Completes what was typed with the configuration and the defaults, for one VM.
    pub fn new_vm(&self, ctx: &Context, name: VmName) -> Result<NewVm, Box<dyn Diagnostic>> {
        let defaults = ctx.config.hardware();
        Ok(NewVm {
            name,
            hardware: Hardware {
                memory: self.ram.unwrap_or(defaults.memory),
                cpus: self.cpu.unwrap_or(defaults.cpus),
                disk: self.storage.unwrap_or(defaults.disk),
            },
            guest: self.guest(ctx)?,
            user: login_name(ctx, self.user.clone())?,
            accel: self.accel.or(ctx.config.accel).unwrap_or_default(),
            ports: self.ports(),
            labels: self.labels.iter().map(|label| (label.key.clone(), label.value.clone())).collect(),
            claude: self.claude().or(ctx.config.claude).unwrap_or_default(),
            shares: shares::choose(&ctx.engine, &self.shares.wanted())?,
            dir: self.dir.clone(),
            overlay: self.overlay,
            audio: self.audio,
            desktop: self.desktop.then(|| self.resolution.unwrap_or(Resolution::DEFAULT)),
        })
    }

    fn is_in(&self, record: &Record) -> bool {
        self.dir.as_ref().and_then(|dir| std::fs::canonicalize(dir).ok()) == record.dir
    }

    /// Returns how Claude Code in it is to be logged in, where that was said in one way or the other.
    pub fn claude(&self) -> Option<LoginMode> {
        if self.share_claude_auth { Some(LoginMode::Copy) } else { self.claude }
    }

    /// What is asked for names the family, else whoever uses this machine has decided, else it is what can be made here.
    pub fn guest(&self, ctx: &Context) -> Result<Guest, Box<dyn Diagnostic>> {
        let implied = match (&self.image, &self.flake) {
            (Some(_), _) => Some(Family::Image),
            (None, Some(_)) => Some(Family::Nixos),
            (None, None) => None,
        };
        let family = match self.guest.or(implied) {
            Some(family) => family,
            None => ctx.default_guest()?,
        };
        let takes_no = |option: &str| UsageError {
            message: format!("`--guest {}` takes no `{option}`", family.name()),
            hint: "leave one of them away".to_owned(),
        };
        if self.image.is_some() && family != Family::Image {
            return Err(takes_no("--image").into());
        }
        if self.flake.is_some() && family != Family::Nixos {
            return Err(takes_no("--flake").into());
        }
        match (family, &self.image) {
            (Family::Image, None) => Err(UsageError {
                message: "`--guest image` needs to know which image".to_owned(),
                hint: "add `--image FILE`, or `--image URL --sha256 DIGEST`".to_owned(),
            }
            .into()),
            (Family::Image, Some(image)) => Ok(Guest::image(&absolute(image)?, self.sha256.as_deref())?),
            (Family::Nixos, _) => {
                let flake = self.flake.as_deref().map(flake::absolute);
                Ok(Guest::Nixos(Nixos { flake, state_version: None }))
            }
            (Family::Debian, _) => Ok(Guest::Debian),
        }
    }

    fn ports(&self) -> PortRequest {
        let mut forwards = self.port.clone();
        if !self.no_default_ports {
            for guest in DEFAULT_GUEST_PORTS.into_iter().filter_map(Port::new) {
                if !forwards.iter().any(|forward| forward.guest == guest) {
                    forwards.push(ForwardRequest { host: HostPort::Auto, guest });
                }
            }
        }
        let ssh = self.ssh_port.map_or(HostPort::Auto, HostPort::Fixed);
        PortRequest { ssh, forwards, bind: self.bind.map_or_else(loopback, Into::into) }
    }
}

/// Returns the login name of a guest: the one that is asked for, else the one of the person at the keyboard where a guest
/// can have it. Never `root`, which is not to be logged into.
pub fn login_name(ctx: &Context, asked: Option<UserName>) -> Result<UserName, SpecError> {
    let asked = asked.or_else(|| ctx.config.user.clone());
    if asked.as_ref().is_some_and(UserName::is_root) {
        return Err(SpecError::User { given: "root".to_owned() });
    }
    let ours = || ctx.env.user.as_deref()?.parse().ok().filter(|name: &UserName| !name.is_root());
    Ok(asked.or_else(ours).unwrap_or_default())
}

/// Makes a path absolute, because a record is read from other directories; a URL stays as it is.
fn absolute(image: &str) -> Result<String, Box<dyn Diagnostic>> {
    if image.contains("://") {
        return Ok(image.to_owned());
    }
    let path = std::fs::canonicalize(image).map_err(failed("find the image", Path::new(image)))?;
    path.into_os_string().into_string().map_err(|path| SpecError::Path { path: path.into() }.into())
}

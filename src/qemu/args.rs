//! QEMU's command line for a VM. Pure: every path is relative to the VM's directory, in which QEMU works, so none
//! of them can hold a character that QEMU's option syntax gives a meaning to.

use std::ffi::OsString;

use serde_json::json;

use crate::host::layout::VmDir;
use crate::qemu::accel::Accelerator;
use crate::qemu::disk::DiskFormat;
use crate::qemu::screen::{Screen, Way};
use crate::qemu::share::SharedFolder;
use crate::qemu::sound::Sound;
use crate::vm::port::Forward;
use crate::vm::spec::Hardware;

/// The machine type of new VMs: the newest that the oldest supported QEMU has. A record keeps it, so that a newer
/// QEMU shows a guest the machine that it knows.
pub const MACHINE: &str = "pc-q35-7.2";

/// A kernel that QEMU starts itself.
#[derive(Clone, Debug)]
pub struct DirectBoot {
    /// The kernel's file.
    pub kernel: String,
    /// The initial RAM disk's file.
    pub initrd: String,
    /// The kernel's parameters.
    pub cmdline: String,
}

/// A read-only store of software that a guest gets from the host. The guest knows both by the name `nix-store`.
#[derive(Clone, Debug)]
pub enum Store {
    /// A directory of the host, over 9p.
    Directory(String),
    /// A disk.
    Disk {
        /// Its file.
        path: String,
        /// Its form.
        format: DiskFormat,
    },
}

/// Everything that QEMU is told. Paths are relative to the VM's directory.
#[derive(Clone, Debug)]
pub struct Machine<'a> {
    /// The VM's name.
    pub name: &'a str,
    /// The VM's identifier.
    pub uuid: &'a str,
    /// The versioned machine type.
    pub machine: &'a str,
    /// By what means processors are run.
    pub accel: Accelerator,
    /// Memory, processors and disk.
    pub hardware: Hardware,
    /// The image under the VM's disk.
    pub base: String,
    /// The form of that image.
    pub base_format: DiskFormat,
    /// A small read-only disk with the guest's set-up, where its system wants one.
    pub seed: Option<&'a str>,
    /// The guest's store, where its system has one apart from its disk.
    pub store: Option<Store>,
    /// A small disk on which the guest records what it is to boot.
    pub boot_disk: Option<&'a str>,
    /// The kernel; without one the firmware starts the disk.
    pub boot: Option<DirectBoot>,
    /// Files with SMBIOS strings.
    pub smbios: &'a [String],
    /// The forwarded ports.
    pub forwards: &'a [Forward],
    /// The folders of the host that the guest sees.
    pub shares: &'a [SharedFolder],
    /// Its sound, if it has any.
    pub sound: Option<Sound>,
    /// Its screen, if it has one.
    pub screen: Option<Screen>,
}

impl Machine<'_> {
    /// Returns the arguments.
    pub fn args(&self) -> Vec<OsString> {
        let mut args: Vec<String> = Vec::new();
        let mut add = |option: &str, value: String| args.extend([option.to_owned(), value]);
        let Self { name, uuid, machine, hardware, .. } = self;
        add("-name", format!("guest={},debug-threads=on", escaped(name)));
        add("-uuid", escaped(uuid));
        // Nothing that a server does not need: each device is probed at boot and widens what a guest can attack.
        let machine = escaped(machine);
        // By which firmware and kernel go to the serial console alone.
        let graphics = if self.screen.is_some() { "on" } else { "off" };
        add(
            "-machine",
            format!("{machine},usb=off,vmport=off,smm=off,hpet=off,dump-guest-core=off,graphics={graphics}"),
        );
        for (option, value) in self.accel.options() {
            add(option, value);
        }
        add("-smp", hardware.cpus.get().to_string());
        add("-m", format!("{}M", hardware.memory.mib()));
        let rest = if self.needs_libraries() { "allow" } else { "deny" };
        let sandbox = format!("on,obsolete=deny,elevateprivileges=deny,spawn={rest},resourcecontrol={rest}");
        add("-sandbox", sandbox);
        if self.screen.is_none() {
            add("-display", "none".into());
        }
        add("-rtc", "base=utc".into());
        add("-msg", "timestamp=on,guest-name=off".into());
        self.add_channels(&mut add);
        self.add_disks(&mut add);
        self.add_network(&mut add);
        add("-object", "rng-random,id=rng,filename=/dev/urandom".into());
        add("-device", "virtio-rng-pci,rng=rng".into());
        // Memory that the guest no longer uses goes back to the host.
        add("-device", "virtio-balloon-pci,free-page-reporting=on".into());
        // Last of all devices, so that no other one changes its place, by which guests name network cards.
        for (index, share) in self.shares.iter().enumerate() {
            share.options(index).into_iter().for_each(|(option, value)| add(option, value));
        }
        let sound = self.sound.into_iter().flat_map(Sound::options);
        let screen = self.screen.iter().flat_map(Screen::options);
        sound.chain(screen).for_each(|(option, value)| add(option, value));
        for file in self.smbios {
            add("-smbios", format!("type=11,path={}", escaped(file)));
        }
        if let Some(boot) = &self.boot {
            add("-kernel", boot.kernel.clone());
            add("-initrd", boot.initrd.clone());
            add("-append", boot.cmdline.clone());
        }
        let plain = ["-nodefaults", "-no-user-config"].map(str::to_owned);
        plain.into_iter().chain(args).map(OsString::from).collect()
    }

    /// Returns the names of the variables by which QEMU finds the session in which its window opens and its sound plays.
    pub fn variables(&self) -> Vec<&'static str> {
        let screen = self.screen.iter().flat_map(|screen| screen.way.0.variables());
        screen.chain(self.sound.iter().flat_map(|sound| sound.variables())).copied().collect()
    }

    /// Tells whether libraries of a desktop run in QEMU: GTK may start helpers of the session, and PipeWire's gives
    /// its thread a priority. What the sandbox denies ends QEMU.
    fn needs_libraries(&self) -> bool {
        let window = self.screen.as_ref().is_some_and(|screen| screen.way.0 == Way::Window);
        window || self.sound == Some(Sound::PipeWire)
    }

    /// The control socket and the serial console.
    fn add_channels(&self, add: &mut impl FnMut(&str, String)) {
        add("-chardev", format!("socket,id=qmp,path={},server=on,wait=off", VmDir::QMP_SOCKET));
        add("-mon", "chardev=qmp,mode=control".into());
        let (socket, log) = (VmDir::CONSOLE_SOCKET, VmDir::CONSOLE_LOG);
        // What nobody is there to read is written down and dropped; without a reader nothing waits.
        add("-chardev", format!("socket,id=console,path={socket},server=on,wait=off,logfile={log}"));
        add("-serial", "chardev:console".into());
    }

    /// The VM's own disk over its image, both named with their forms so that QEMU never guesses one from bytes
    /// that a guest wrote.
    fn add_disks(&self, add: &mut impl FnMut(&str, String)) {
        let disk = json!({
            "node-name": "disk",
            "driver": "qcow2",
            "discard": "unmap",
            "detect-zeroes": "unmap",
            "file": { "driver": "file", "filename": VmDir::DISK, "discard": "unmap" },
            "backing": {
                "driver": self.base_format.name(),
                "read-only": true,
                "file": { "driver": "file", "filename": self.base, "read-only": true, "locking": "off" },
            },
        });
        add("-blockdev", disk.to_string());
        add("-device", "virtio-blk-pci,drive=disk,serial=root,bootindex=1".into());
        let mut add_plain = |name: &str, serial: &str, file: &str, format: DiskFormat, read_only: bool| {
            let node = json!({
                "node-name": name,
                "driver": format.name(),
                "read-only": read_only,
                "file": { "driver": "file", "filename": file, "read-only": read_only },
            });
            add("-blockdev", node.to_string());
            add("-device", format!("virtio-blk-pci,drive={name},serial={serial}"));
        };
        if let Some(seed) = self.seed {
            add_plain("seed", "seed", seed, DiskFormat::Raw, true);
        }
        if let Some(disk) = self.boot_disk {
            add_plain("boot", "ai-vm-boot", disk, DiskFormat::Raw, false);
        }
        match &self.store {
            None => {}
            Some(Store::Disk { path, format }) => add_plain("store", "nix-store", path, *format, true),
            Some(Store::Directory(path)) => {
                // Read-only here: root in the guest can mount it as it likes.
                let path = escaped(path);
                add(
                    "-fsdev",
                    format!("local,id=store,path={path},security_model=none,readonly=on,multidevs=remap"),
                );
                add("-device", "virtio-9p-pci,fsdev=store,mount_tag=nix-store".into());
            }
        }
    }

    fn add_network(&self, add: &mut impl FnMut(&str, String)) {
        let mut network = "user,id=net".to_owned();
        for Forward { host, guest, bind, .. } in self.forwards {
            // The address is always written: without it QEMU listens to the whole network.
            network.push_str(&format!(",hostfwd=tcp:{bind}:{host}-:{guest}"));
        }
        add("-netdev", network);
        // Without its boot ROM, which would be run at every start.
        add("-device", "virtio-net-pci,netdev=net,romfile=".into());
    }
}

/// Doubles commas, which is how QEMU's option syntax escapes them.
fn escaped(value: &str) -> String {
    value.replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::port::{Port, loopback};
    use crate::vm::size::{CpuCount, DiskSize, MemorySize};
    use proptest::prelude::*;

    fn args(uuid: &str, smbios: &[String]) -> Vec<String> {
        let port = |number| Port::new(number).unwrap();
        let forward = Forward { host: port(2222), guest: port(22), bind: loopback(), auto: true };
        let machine = Machine {
            name: "web",
            uuid,
            machine: MACHINE,
            accel: Accelerator::Tcg,
            hardware: Hardware {
                memory: MemorySize::DEFAULT,
                cpus: CpuCount::DEFAULT,
                disk: DiskSize::DEFAULT,
            },
            base: "../../images/x/root.img".into(),
            base_format: DiskFormat::Raw,
            seed: Some("seed.img"),
            store: Some(Store::Directory("/s,readonly=off".into())),
            boot_disk: Some("boot.img"),
            boot: None,
            smbios,
            forwards: &[forward],
            shares: &[],
            sound: None,
            screen: None,
        };
        machine.args().into_iter().map(|arg| arg.into_string().unwrap()).collect()
    }

    #[test]
    fn listens_on_loopback_only_and_in_the_sandbox() {
        let args = args("u", &[]);
        assert!(args.contains(&"user,id=net,hostfwd=tcp:127.0.0.1:2222-:22".to_owned()), "{args:?}");
        assert!(args.iter().any(|arg| arg.starts_with("on,") && arg.contains("spawn=deny")));
        assert!(!args.iter().any(|arg| arg.contains("::")));
        let store = args.iter().find(|arg| arg.starts_with("local,")).unwrap();
        assert!(store.contains("path=/s,,readonly=off,security_model=none,readonly=on,"), "{store}");
    }

    proptest! {
        #[test]
        fn no_value_becomes_another_option(text in "\\PC{1,40}") {
            let args = args(&text, std::slice::from_ref(&text));
            let unescaped = |value: &str| value.replace(",,", "\u{0}");
            let uuid = args.iter().position(|arg| arg == "-uuid").unwrap();
            prop_assert!(!unescaped(&args[uuid + 1]).contains(','));
            let smbios = args.iter().rposition(|arg| arg == "-smbios").unwrap();
            prop_assert_eq!(unescaped(&args[smbios + 1]).matches(',').count(), 1);
        }
    }
}

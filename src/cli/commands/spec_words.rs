//! What a new VM should be, said again as it would be typed.

use std::ffi::{OsStr, OsString};

use crate::cli::commands::spec::SpecArgs;
use crate::vm::guest::Family;

impl SpecArgs {
    /// Returns the options that say the same: those alone that were given. The folder of the disk, which commands name in
    /// ways of their own, is not among them.
    pub fn words(&self) -> Vec<OsString> {
        let mut words = Words::default();
        words.value("--ram", self.ram);
        words.value("--cpu", self.cpu);
        words.value("--storage", self.storage);
        words.value("--guest", self.guest.map(Family::name));
        words.value("--flake", self.flake.as_ref());
        words.value("--image", self.image.as_ref());
        words.value("--sha256", self.sha256.as_ref());
        words.value("--user", self.user.as_ref());
        words.value("--accel", self.accel);
        words.value("--ssh-port", self.ssh_port);
        words.flag("--no-default-ports", self.no_default_ports);
        self.port.iter().for_each(|port| words.value("--port", Some(port)));
        words.value("--bind", self.bind);
        self.labels.iter().for_each(|label| words.value("--label", Some(label)));
        words.value("--claude", self.claude);
        words.flag("--share-claude-auth", self.share_claude_auth);
        self.shares.share_rw.iter().for_each(|folder| words.option("--share-rw", folder.as_os_str()));
        self.shares.share_ro.iter().for_each(|folder| words.option("--share-ro", folder.as_os_str()));
        words.flag("--i-know", self.shares.i_know);
        words.flag("--overlay", self.overlay);
        words.flag("--audio", self.audio);
        words.flag("--desktop", self.desktop);
        words.value("--resolution", self.resolution);
        words.0
    }
}

/// Words of a command line.
#[derive(Default)]
struct Words(Vec<OsString>);

impl Words {
    fn flag(&mut self, option: &str, is_given: bool) {
        self.0.extend(is_given.then(|| option.into()));
    }

    fn value(&mut self, option: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.option(option, OsStr::new(&value.to_string()));
        }
    }

    fn option(&mut self, option: &str, value: &OsStr) {
        let mut word = OsString::from(option);
        // Else it would be read as an option itself.
        if value.as_encoded_bytes().starts_with(b"-") {
            word.push("=");
            word.push(value);
            self.0.push(word);
        } else {
            self.0.extend([word, value.to_owned()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use clap::Parser;
    use proptest::prelude::*;

    use super::*;
    use crate::vm::desktop::Resolution;
    use crate::vm::label::Label;
    use crate::vm::login_mode::LoginMode;
    use crate::vm::port::{ForwardRequest, HostPort, Port};
    use crate::vm::size::{CpuCount, DiskSize, MemorySize};
    use crate::vm::spec::AcceleratorChoice;

    #[derive(Debug, Parser)]
    struct Typed {
        #[command(flatten)]
        spec: SpecArgs,
    }

    fn parsed(words: &[OsString]) -> SpecArgs {
        Typed::try_parse_from([&["x".into()], words].concat()).unwrap().spec
    }

    fn path() -> impl Strategy<Value = PathBuf> {
        "[^\u{0}]{1,20}".prop_map(PathBuf::from)
    }

    fn port() -> impl Strategy<Value = Port> {
        (1..=u16::MAX).prop_map(|number| Port::new(number).unwrap())
    }

    prop_compose! {
        fn hardware()(
            ram in proptest::option::of((128u64..=1024 * 1024).prop_map(|mib| MemorySize::from_mib(mib).unwrap())),
            cpu in proptest::option::of((1u64..=128).prop_map(|count| CpuCount::new(count).unwrap())),
            storage in proptest::option::of((1u64..=10_000).prop_map(|gib| DiskSize::from_gib(gib).unwrap())),
            accel in proptest::option::of(prop_oneof![Just(AcceleratorChoice::Auto), Just(AcceleratorChoice::Tcg)]),
            resolution in proptest::option::of((320u16..=16384).prop_map(|side| {
                format!("{side}x{side}").parse::<Resolution>().unwrap()
            })),
            (overlay, audio) in any::<(bool, bool)>(),
        ) -> SpecArgs {
            let desktop = resolution.is_some();
            SpecArgs { ram, cpu, storage, accel, resolution, desktop, overlay, audio, ..SpecArgs::default() }
        }
    }

    prop_compose! {
        fn spec()(
            hardware in hardware(),
            guest in proptest::option::of(prop_oneof![Just(Family::Debian), Just(Family::Image), Just(Family::Nixos)]),
            flake in proptest::option::of("\\PC{1,20}"),
            image in proptest::option::of("\\PC{1,20}"),
            user in proptest::option::of("[a-z][a-z0-9]{0,8}".prop_map(|name| name.parse().unwrap())),
            ports in proptest::collection::vec((proptest::option::of(port()), port()), 0..3),
            ssh_port in proptest::option::of(port()),
            no_default_ports in any::<bool>(),
            bind in proptest::option::of(any::<[u8; 4]>().prop_map(Into::into)),
            labels in proptest::collection::vec(("[a-z]{1,5}", "[ -~]{0,8}"), 0..3),
            claude in proptest::option::of(prop_oneof![Just(LoginMode::None), Just(LoginMode::Copy)]),
            (share_rw, share_ro) in
                (proptest::collection::vec(path(), 0..3), proptest::collection::vec(path(), 0..3)),
            i_know in any::<bool>(),
        ) -> SpecArgs {
            let mut spec = hardware;
            let forward = |(host, guest): (Option<Port>, Port)| {
                ForwardRequest { host: host.map_or(HostPort::Auto, HostPort::Fixed), guest }
            };
            (spec.guest, spec.flake, spec.image, spec.user) = (guest, flake, image, user);
            spec.sha256 = spec.image.is_some().then(|| "0".repeat(64));
            spec.port = ports.into_iter().map(forward).collect();
            (spec.ssh_port, spec.no_default_ports, spec.bind) = (ssh_port, no_default_ports, bind);
            spec.labels = labels.into_iter().map(|(key, value)| Label { key, value }).collect();
            (spec.claude, spec.share_claude_auth) = (claude, claude.is_none() && i_know);
            (spec.shares.share_rw, spec.shares.share_ro, spec.shares.i_know) = (share_rw, share_ro, i_know);
            spec
        }
    }

    #[test]
    fn nothing_is_said_of_what_was_not_asked_for() {
        assert!(parsed(&[]).words().is_empty());
        assert_eq!(parsed(&[]), SpecArgs::default());
    }

    proptest! {
        #[test]
        fn what_is_said_again_is_read_alike(spec in spec()) {
            let words = spec.words();
            prop_assert_eq!(parsed(&words), spec);
        }
    }
}

//! The record of a VM on disk: `vm.toml`.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};

use crate::vm::desktop::{Desktop, ScreenPort};
use crate::vm::guest::Guest;
use crate::vm::label::Labels;
use crate::vm::login_mode::LoginMode;
use crate::vm::name::VmName;
use crate::vm::port::{Forward, Port};
use crate::vm::share::Share;
use crate::vm::size::{CpuCount, DiskSize, MemorySize};
use crate::vm::spec::{AcceleratorChoice, Hardware, UserName};

/// The schema that this version writes. A record with a higher one is shown but never changed.
pub const SCHEMA: u32 = 1;

/// The largest record that is read, in bytes. A real one has a few hundred.
pub const MAX_BYTES: u64 = 256 * 1024;

/// What a VM should be, and which ports it has been given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The version of this format.
    pub schema: u32,
    /// The VM's name, the same as its directory's.
    pub name: VmName,
    /// An identifier that no other VM ever has; QEMU and the guest see it.
    pub uuid: String,
    /// When the VM was created, RFC 3339 in UTC.
    pub created: String,
    /// The login name in the guest.
    pub user: UserName,
    /// The hardware; none of a machine that something else runs.
    #[serde(flatten, deserialize_with = "all_or_none")]
    pub hardware: Option<Hardware>,
    /// QEMU's versioned machine type, fixed at creation so that a newer QEMU shows the guest the same machine. None of
    /// a machine that something else runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// The accelerator asked for.
    #[serde(default)]
    pub accel: AcceleratorChoice,
    /// The image under the VM's disk, once that disk has been made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// The images of the systems that it has booted, where those are others than the one under its disk; the last one is
    /// the present one. What was built in the guest may need parts of the earlier ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub systems: Vec<String>,
    /// Which system it runs.
    pub guest: Guest,
    /// How Claude Code in it is logged in.
    #[serde(default, skip_serializing_if = "LoginMode::is_none")]
    pub claude: LoginMode,
    /// Labels.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// The forwarded ports; the first that leads to guest port 22 is how ai-vm reaches the VM.
    #[serde(default, rename = "forward")]
    pub forwards: Vec<Forward>,
    /// Whether every start begins with a clean disk.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overlay: bool,
    /// Whether it plays to this machine's sound and hears its microphone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub audio: bool,
    /// Its screen, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desktop: Option<Desktop>,
    /// The user's folder in which its disk lies, where that is not its own directory. Absolute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
    /// The folders of this machine that the VM sees.
    #[serde(default, rename = "share", skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<Share>,
    /// Keys that this version does not know: kept as they are when the record is rewritten.
    #[serde(flatten)]
    pub unknown: toml::Table,
}

/// Reads hardware of which all keys are there, or none.
fn all_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Hardware>, D::Error> {
    #[derive(Deserialize)]
    struct Keys {
        ram_mib: Option<MemorySize>,
        cpus: Option<CpuCount>,
        disk_gib: Option<DiskSize>,
    }
    let missing = |key| Err(serde::de::Error::missing_field(key));
    match Keys::deserialize(deserializer)? {
        Keys { ram_mib: None, cpus: None, disk_gib: None } => Ok(None),
        Keys { ram_mib: None, .. } => missing("ram_mib"),
        Keys { cpus: None, .. } => missing("cpus"),
        Keys { disk_gib: None, .. } => missing("disk_gib"),
        Keys { ram_mib: Some(memory), cpus: Some(cpus), disk_gib: Some(disk) } => {
            Ok(Some(Hardware { memory, cpus, disk }))
        }
    }
}

impl Record {
    /// Returns the image that it boots, once that has been made.
    pub fn image(&self) -> Option<&String> {
        self.systems.last().or(self.base.as_ref())
    }

    /// Returns the forward that leads to the guest's SSH server.
    pub fn ssh(&self) -> Option<&Forward> {
        self.forwards.iter().find(|forward| forward.guest == Port::SSH)
    }

    /// Returns all ports of this machine that it has.
    pub fn ports(&self) -> impl Iterator<Item = Port> {
        self.forwards.iter().map(|forward| forward.host).chain(self.screen_port())
    }

    /// Returns the port of this machine where a viewer finds its screen.
    pub fn screen_port(&self) -> Option<Port> {
        self.desktop.and_then(|desktop| desktop.port).map(ScreenPort::get)
    }

    /// Returns a key that the record of a VM must have and this one has not.
    fn lacks(&self) -> Option<&'static str> {
        if self.guest.is_adopted() {
            return None;
        }
        self.hardware.map_or(Some("ram_mib"), |_| self.machine.is_none().then_some("machine"))
    }

    /// Returns the record as it is written to disk.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        let body = toml::to_string(self)?;
        Ok(format!("# Written by ai-vm. `ai-vm info {}` shows it.\n{body}", self.name))
    }
}

/// Why a record cannot be used. The VM is shown as broken; nothing is rewritten or deleted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{}: {reason}", file.display(), line.map(|line| format!(":{line}")).unwrap_or_default())]
pub struct BrokenRecord {
    /// The record's file.
    pub file: PathBuf,
    /// The line, counted from 1, where it is known.
    pub line: Option<usize>,
    /// What is wrong, on one line.
    pub reason: String,
    /// Host ports that the record reserves all the same, as far as they can be read.
    pub ports: Vec<Port>,
}

/// Reads a record; `file` and `name` say where it was found.
pub fn parse(content: &[u8], file: PathBuf, name: &VmName) -> Result<Record, BrokenRecord> {
    let broken = |line, reason: String, ports| BrokenRecord { file: file.clone(), line, reason, ports };
    let text = match std::str::from_utf8(content) {
        Ok(text) => text,
        Err(error) => {
            let before = content.get(..error.valid_up_to()).unwrap_or_default();
            return Err(broken(Some(line_of(before)), "not valid UTF-8".to_owned(), Vec::new()));
        }
    };
    if text.trim().is_empty() {
        return Err(broken(Some(1), "the record is empty".to_owned(), Vec::new()));
    }
    match toml::from_str::<Record>(text) {
        Ok(record) if record.schema > SCHEMA => Err(newer(text, file, record.schema)),
        Ok(record) if record.name != *name => {
            let reason = format!("the record is of `{}`, but its directory is `{name}`", record.name);
            Err(broken(key_line(text, "name"), reason, record.ports().collect()))
        }
        Ok(record) => match record.lacks() {
            Some(key) => {
                let ports = record.ports().collect();
                Err(broken(None, format!("missing field `{key}`"), ports))
            }
            None => Ok(record),
        },
        Err(error) => {
            // A newer version may have changed anything but the meaning of `schema`.
            let loose = toml::from_str::<toml::Table>(text).unwrap_or_default();
            let schema = loose.get("schema").and_then(toml::Value::as_integer);
            if let Some(schema) = schema.and_then(|s| u32::try_from(s).ok()).filter(|s| *s > SCHEMA) {
                return Err(newer(text, file, schema));
            }
            let line = error.span().and_then(|span| text.as_bytes().get(..span.start)).map(line_of);
            let reason = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
            Err(broken(line, reason, reserved_ports(&loose)))
        }
    }
}

fn newer(text: &str, file: PathBuf, schema: u32) -> BrokenRecord {
    let loose = toml::from_str::<toml::Table>(text).unwrap_or_default();
    BrokenRecord {
        file,
        line: key_line(text, "schema"),
        reason: format!("schema {schema} was written by a newer ai-vm; this one knows schema {SCHEMA}"),
        ports: reserved_ports(&loose),
    }
}

/// Returns the line of the byte after `before`, counted from 1.
fn line_of(before: &[u8]) -> usize {
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

fn key_line(text: &str, key: &str) -> Option<usize> {
    let assigns = |line: &str| {
        line.trim_start().strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    text.lines().position(assigns).map(|index| index + 1)
}

/// Reads `[[forward]] host = N` and the port of `desktop` from a record that is not understood as a whole.
fn reserved_ports(record: &toml::Table) -> Vec<Port> {
    let port = |port: &toml::Value| Port::new(u16::try_from(port.as_integer()?).ok()?);
    let forwards = record.get("forward").and_then(toml::Value::as_array).into_iter().flatten();
    let hosts = forwards.filter_map(|forward| forward.get("host"));
    let screen = record.get("desktop").and_then(|desktop| desktop.get("port"));
    hosts.chain(screen).filter_map(port).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name() -> VmName {
        "web".parse().unwrap()
    }

    const GOOD: &str = r#"
schema = 1
name = "web"
uuid = "u"
created = "2026-01-01T00:00:00Z"
user = "dev"
ram_mib = 8192
cpus = 2
disk_gib = 50
machine = "pc-q35-7.2"
guest = { family = "debian" }
future = "kept"
forward = [{ host = 2222, guest = 22, auto = true, colour = "red" }]
"#;

    fn read(text: &str) -> Result<Record, BrokenRecord> {
        parse(text.as_bytes(), "/x/vm.toml".into(), &name())
    }

    #[test]
    fn a_record_round_trips_with_keys_it_does_not_know() {
        let record = read(GOOD).unwrap();
        assert_eq!(record.ssh().unwrap().host.get(), 2222);
        let again = read(&record.to_toml().unwrap()).unwrap();
        assert_eq!(again, record);
        assert_eq!(again.unknown["future"].as_str(), Some("kept"));
        assert!(!record.overlay && !record.audio && record.desktop.is_none() && record.dir.is_none());
        assert!(!record.to_toml().unwrap().contains("overlay"));
    }

    #[test]
    fn a_screen_round_trips_and_its_port_is_taken() {
        let text = format!(
            "overlay = true\naudio = true\ndir = \"/p\"\ndesktop = {{ resolution = '1280x720', port = 5901 }}{GOOD}"
        );
        let record = read(&text).unwrap();
        assert!(record.overlay && record.audio);
        assert_eq!(read(&record.to_toml().unwrap()).unwrap(), record);
        let ports: Vec<u16> = record.ports().map(Port::get).collect();
        assert_eq!(ports, [2222, 5901]);
        let broken = read(&text.replace("1280x720", "much")).unwrap_err();
        assert_eq!(broken.ports.len(), 2);
        // A display of VNC's with a number below zero would be no option of QEMU's.
        let broken = read(&text.replace("5901", "80")).unwrap_err();
        assert!(broken.reason.contains("80 cannot be the port of a screen"), "{broken}");
        assert_eq!(broken.ports.len(), 2);
    }

    #[test]
    fn a_machine_that_something_else_runs_has_no_hardware() {
        let text = r#"
schema = 1
name = "web"
uuid = "u"
created = "2026-01-01T00:00:00Z"
user = "root"
future = "kept"
guest = { family = "adopted", host = "::1", port = 2200, identity = "/k" }
"#;
        let record = read(text).unwrap();
        assert_eq!((record.hardware, &record.machine, record.forwards.len()), (None, &None, 0));
        let Guest::Adopted(adopted) = &record.guest else { panic!("{:?}", record.guest) };
        assert_eq!(adopted.endpoint().to_string(), "[::1]:2200");
        let written = record.to_toml().unwrap();
        assert!(!written.contains("ram_mib") && written.contains("future = \"kept\""), "{written}");
        assert_eq!(read(&written).unwrap(), record);
        let bad = read(&text.replace("::1", "-oProxyCommand=x")).unwrap_err();
        assert!(bad.reason.contains("not a host"), "{bad}");
    }

    #[test]
    fn a_vm_has_all_of_its_hardware() {
        for (key, line) in [("ram_mib", "ram_mib = 8192\n"), ("machine", "machine = \"pc-q35-7.2\"\n")] {
            let broken = read(&GOOD.replace(line, "")).unwrap_err();
            assert!(broken.reason.contains(&format!("missing field `{key}`")), "{broken}");
            assert_eq!(broken.ports.len(), 1);
        }
        let none = GOOD.replace("ram_mib = 8192\ncpus = 2\ndisk_gib = 50\n", "");
        assert!(read(&none).unwrap_err().reason.contains("missing field `ram_mib`"));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let cases = [
            ("", Some(1), "empty"),
            ("schema = 1\nname = \"web\"\nname = \"b\"\n", Some(3), "duplicate"),
            (&GOOD.replace("8192", "\"much\""), Some(7), "invalid type"),
            (&GOOD.replace("8192", "1"), Some(7), "out of range"),
            (&GOOD.replace("schema = 1", "schema = 2"), Some(2), "newer"),
            (&GOOD.replace("name = \"web\"", "name = \"other\""), Some(3), "directory"),
            ("schema = 7\nname = { entirely = \"other\" }\n", Some(1), "newer"),
        ];
        for (text, line, part) in cases {
            let broken = read(text).unwrap_err();
            assert!(broken.reason.contains(part), "{text:?} gave {broken}");
            assert!(line.is_none() || broken.line.is_some(), "{text:?} gave no line: {broken}");
        }
        assert!(parse(b"a\n\xff", "/x".into(), &name()).unwrap_err().to_string().starts_with("/x:2:"));
    }

    #[test]
    fn a_broken_record_still_reserves_its_ports() {
        let broken = read(&GOOD.replace("cpus = 2", "cpus = 2000")).unwrap_err();
        assert_eq!(broken.ports, vec![Port::new(2222).unwrap()]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer_not_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes, "/x".into(), &name());
        }
    }
}

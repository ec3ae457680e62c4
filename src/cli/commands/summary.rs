//! How a VM is shown: the JSON shape, which is a contract, and the words of a table.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Serialize;

use crate::cli::commands::share::ShareSummary;
use crate::lifecycle::observe::Observed;
use crate::lifecycle::present::Present;
use crate::lifecycle::shares;
use crate::vm::desktop::Resolution;
use crate::vm::guest::Guest;
use crate::vm::login_mode::LoginMode;
use crate::vm::name::VmName;
use crate::vm::port::{Forward, Port, loopback};
use crate::vm::state::State;

/// A VM as `ls --json` shows it. Keys are only ever added. Those that a broken record does not tell are null.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The name.
    pub name: VmName,
    /// What it is doing.
    pub state: State,
    /// The guest family.
    pub guest: Option<&'static str>,
    /// Where the SSH server of a machine listens that something else runs, as `HOST:PORT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Memory in MiB.
    pub ram_mib: Option<u64>,
    /// Processors.
    pub cpus: Option<u64>,
    /// The disk as the guest sees it, in GiB.
    pub disk_gib: Option<u64>,
    /// The host port of its SSH server.
    pub ssh_port: Option<Port>,
    /// All forwarded ports.
    pub ports: Vec<PortSummary>,
    /// The folders of this machine that it sees.
    pub shares: Vec<ShareSummary>,
    /// Whether every start begins with a clean disk.
    pub overlay: bool,
    /// Whether it has sound.
    pub audio: bool,
    /// The size of its screen, if it has one.
    pub desktop: Option<Resolution>,
    /// How Claude Code in it is logged in.
    pub claude: Option<LoginMode>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// When it was created, RFC 3339.
    pub created: Option<String>,
    /// Whether its disk lies over another image than would be made for it now; `null` where there is no telling.
    pub outdated: Option<bool>,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A forwarded port.
#[derive(Clone, Debug, Serialize)]
pub struct PortSummary {
    /// The port on the host.
    pub host: Port,
    /// The port in the guest.
    pub guest: Port,
    /// The host address that listens.
    pub bind: IpAddr,
}

impl Summary {
    /// Sums up what was seen of a VM.
    pub fn of(vm: &Observed, present: &Present) -> Self {
        let record = vm.entry.record.as_ref().ok();
        let hardware = record.and_then(|record| record.hardware);
        let forwards = record.map(|record| record.forwards.as_slice()).unwrap_or_default();
        let kept = record.map(|record| record.shares.as_slice()).unwrap_or_default();
        let port = |f: &Forward| PortSummary { host: f.host, guest: f.guest, bind: f.bind };
        Self {
            name: vm.entry.name.clone(),
            state: vm.state,
            guest: record.map(|record| record.guest.family()),
            address: record.and_then(|record| match &record.guest {
                Guest::Adopted(adopted) => Some(adopted.endpoint().to_string()),
                Guest::Debian | Guest::Image { .. } | Guest::Nixos(_) => None,
            }),
            ram_mib: hardware.map(|hardware| hardware.memory.mib()),
            cpus: hardware.map(|hardware| hardware.cpus.get()),
            disk_gib: hardware.map(|hardware| hardware.disk.gib()),
            ssh_port: record.and_then(|record| record.ssh()).map(|forward| forward.host),
            ports: forwards.iter().map(port).collect(),
            shares: shares::look(kept, vm.run.as_ref())
                .iter()
                .map(|(share, state)| ShareSummary::new(share, *state))
                .collect(),
            overlay: record.is_some_and(|record| record.overlay),
            audio: record.is_some_and(|record| record.audio),
            desktop: record.and_then(|record| record.desktop).map(|desktop| desktop.resolution),
            claude: record.map(|record| record.claude),
            labels: record.map(|record| record.labels.clone()).unwrap_or_default(),
            created: record.map(|record| record.created.clone()),
            outdated: record.and_then(|record| present.is_outdated(record)),
            problem: vm.problem.clone(),
        }
    }
}

impl PortSummary {
    /// Returns `3001->3001`, with the address in front where it is not loopback.
    pub fn words(&self) -> String {
        let Self { host, guest, bind } = self;
        if *bind == loopback() { format!("{host}->{guest}") } else { format!("{bind}:{host}->{guest}") }
    }
}

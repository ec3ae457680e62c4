//! Gives host ports to a VM: never one that another VM has, and preferably one that nobody listens on.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::diagnostic::{Diagnostic, Kind};
use crate::host::listeners;
use crate::vm::name::VmName;
use crate::vm::port::{Forward, ForwardRequest, HostPort, Port};

/// The guest ports that every VM gets unless `--no-default-ports` is given.
pub const DEFAULT_GUEST_PORTS: [u16; 2] = [3001, 9080];

/// The first host port tried for SSH.
const FIRST_SSH: u16 = 2222;

/// What a user asks for; guest port 22 is always forwarded.
#[derive(Clone, Debug)]
pub struct PortRequest {
    /// The host port for SSH.
    pub ssh: HostPort,
    /// Further forwards, in the user's order.
    pub forwards: Vec<ForwardRequest>,
    /// The host address that listens.
    pub bind: IpAddr,
}

/// Host ports that VMs have, and which.
pub type Reserved = BTreeMap<Port, VmName>;

/// Why a port that was asked for by number cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ReserveError {
    /// Asked for twice in one request.
    #[error("the host port {port} is asked for twice")]
    Twice {
        /// The port.
        port: Port,
    },
    /// This user may not listen on it.
    #[error("the host port {port} is privileged and you are not root")]
    Privileged {
        /// The port.
        port: Port,
    },
    /// Another VM has it, running or not.
    #[error("the host port {port} belongs to the VM `{by}`")]
    Reserved {
        /// The port.
        port: Port,
        /// The VM.
        by: VmName,
    },
    /// Something else listens on it now.
    #[error("the host port {port} is in use by {holder}")]
    Taken {
        /// The port.
        port: Port,
        /// Who listens, for people.
        holder: String,
    },
    /// No port is left.
    #[error("no free host port was found for guest port {guest}")]
    Exhausted {
        /// The guest port.
        guest: Port,
    },
}

impl Diagnostic for ReserveError {
    fn kind(&self) -> Kind {
        match self {
            Self::Twice { .. } | Self::Privileged { .. } => Kind::Usage,
            Self::Reserved { .. } | Self::Taken { .. } => Kind::Conflict,
            Self::Exhausted { .. } => Kind::Failed,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Twice { .. } => vec!["give each forward a host port of its own, or `auto`".to_owned()],
            Self::Privileged { port } => {
                vec![format!(
                    "use a port from 1024 up, for example `-p {}:GUEST`",
                    8000 + u32::from(port.get())
                )]
            }
            Self::Reserved { .. } | Self::Taken { .. } => {
                vec!["let ai-vm choose: `-p auto:GUEST`, or leave `--ssh-port` away".to_owned()]
            }
            Self::Exhausted { .. } => Vec::new(),
        }
    }
}

/// What there is to know about ports of this machine; tests bring their own.
pub trait Probe {
    /// Tells whether a listener could be opened now.
    fn is_free(&self, bind: IpAddr, port: Port) -> bool;
    /// Tells whether this user may listen on the port.
    fn may_bind(&self, port: Port) -> bool;
    /// Names who listens, for people.
    fn holder(&self, port: Port) -> String;
    /// Proposes any unused port, when a range is exhausted.
    fn propose(&self) -> Option<Port>;
}

/// The real machine.
#[derive(Debug)]
pub struct Machine;

impl Probe for Machine {
    fn is_free(&self, bind: IpAddr, port: Port) -> bool {
        listeners::is_free(bind, port)
    }

    fn may_bind(&self, port: Port) -> bool {
        listeners::may_bind(port)
    }

    fn holder(&self, port: Port) -> String {
        listeners::holder(port).unwrap_or_else(|| "another process".to_owned())
    }

    fn propose(&self) -> Option<Port> {
        portpicker::pick_unused_port().and_then(Port::new)
    }
}

/// Decides all forwards of a VM. Ports asked for by number come first, so that an automatic one never takes them.
pub fn assign(
    request: &PortRequest,
    reserved: &Reserved,
    probe: &dyn Probe,
) -> Result<Vec<Forward>, ReserveError> {
    let ssh = ForwardRequest { host: request.ssh, guest: Port::SSH };
    let wanted: Vec<ForwardRequest> = std::iter::once(ssh).chain(request.forwards.iter().copied()).collect();
    choose_all(&wanted, request.bind, reserved, probe)
}

/// Decides further forwards of a VM that has some, whose host ports are among `reserved`. What it has already is not
/// given again: the same request twice comes to the same.
pub fn extend(
    has: &[Forward],
    wanted: &[ForwardRequest],
    bind: IpAddr,
    reserved: &Reserved,
    probe: &dyn Probe,
) -> Result<Vec<Forward>, ReserveError> {
    let is_there = |wanted: &&ForwardRequest| has.iter().any(|forward| wanted.is_met_by(forward, bind));
    let missing: Vec<ForwardRequest> = wanted.iter().filter(|wanted| !is_there(wanted)).copied().collect();
    choose_all(&missing, bind, reserved, probe)
}

fn choose_all(
    wanted: &[ForwardRequest],
    bind: IpAddr,
    reserved: &Reserved,
    probe: &dyn Probe,
) -> Result<Vec<Forward>, ReserveError> {
    let mut ours: Vec<Port> = Vec::new();
    for fixed in wanted.iter().filter_map(|forward| fixed_port(forward.host)) {
        if ours.contains(&fixed) {
            return Err(ReserveError::Twice { port: fixed });
        }
        check_fixed(fixed, bind, reserved, probe)?;
        ours.push(fixed);
    }
    let mut forwards = Vec::new();
    for &ForwardRequest { host, guest } in wanted {
        let (host, auto) = match host {
            HostPort::Fixed(port) => (port, false),
            HostPort::Auto => {
                let usable = |port: Port| {
                    !ours.contains(&port) && !reserved.contains_key(&port) && probe.is_free(bind, port)
                };
                let port = choose(guest, usable, probe).ok_or(ReserveError::Exhausted { guest })?;
                ours.push(port);
                (port, true)
            }
        };
        forwards.push(Forward { host, guest, bind, auto });
    }
    Ok(forwards)
}

/// A forward that leads to the same guest port from another host port than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The guest port.
    pub guest: Port,
    /// The host port until now.
    pub from: Port,
    /// The host port from now on.
    pub to: Port,
}

/// Chooses other host ports for the automatic forwards of a VM that are not `usable` any more.
pub fn reassign(
    forwards: &mut [Forward],
    reserved: &Reserved,
    refused: &[Port],
    probe: &dyn Probe,
) -> Result<Vec<Moved>, ReserveError> {
    let mut ours: Vec<Port> =
        forwards.iter().map(|forward| forward.host).chain(refused.iter().copied()).collect();
    let mut moved = Vec::new();
    let is_usable =
        |forward: &Forward| !refused.contains(&forward.host) && probe.is_free(forward.bind, forward.host);
    for forward in forwards.iter_mut().filter(|forward| forward.auto && !is_usable(forward)) {
        let usable = |port: Port| {
            !ours.contains(&port) && !reserved.contains_key(&port) && probe.is_free(forward.bind, port)
        };
        let guest = forward.guest;
        let to = choose(guest, usable, probe).ok_or(ReserveError::Exhausted { guest })?;
        moved.push(Moved { guest, from: forward.host, to });
        ours.push(to);
        forward.host = to;
    }
    Ok(moved)
}

fn fixed_port(host: HostPort) -> Option<Port> {
    match host {
        HostPort::Fixed(port) => Some(port),
        HostPort::Auto => None,
    }
}

fn check_fixed(port: Port, bind: IpAddr, reserved: &Reserved, probe: &dyn Probe) -> Result<(), ReserveError> {
    if !probe.may_bind(port) {
        return Err(ReserveError::Privileged { port });
    }
    if let Some(by) = reserved.get(&port) {
        return Err(ReserveError::Reserved { port, by: by.clone() });
    }
    if !probe.is_free(bind, port) {
        return Err(ReserveError::Taken { port, holder: probe.holder(port) });
    }
    Ok(())
}

/// Returns the guest's own number if it can be had, else the next one up that can, else whatever is proposed.
fn choose(guest: Port, usable: impl Fn(Port) -> bool, probe: &dyn Probe) -> Option<Port> {
    let first = if guest == Port::SSH {
        Port::new(FIRST_SSH)
    } else if guest.is_privileged() {
        // 80 becomes 8080 and 443 becomes 8443, as people write them.
        Port::new(8000 + guest.get())
    } else {
        Some(guest)
    };
    let upwards = std::iter::successors(first, |port| port.next());
    upwards
        .take(8192)
        .find(|port| usable(*port))
        .or_else(|| (0..64).filter_map(|_| probe.propose()).find(|port| usable(*port)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::port::loopback;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    struct Fake(Vec<u16>);

    impl Probe for Fake {
        fn is_free(&self, _: IpAddr, port: Port) -> bool {
            !self.0.contains(&port.get())
        }
        fn may_bind(&self, port: Port) -> bool {
            port.get() >= 1024
        }
        fn holder(&self, _: Port) -> String {
            "`nginx` (pid 7)".to_owned()
        }
        fn propose(&self) -> Option<Port> {
            Port::new(50_000)
        }
    }

    fn request(ssh: HostPort, forwards: &[&str]) -> PortRequest {
        PortRequest { ssh, forwards: forwards.iter().map(|f| f.parse().unwrap()).collect(), bind: loopback() }
    }

    fn hosts(forwards: &[Forward]) -> Vec<u16> {
        forwards.iter().map(|f| f.host.get()).collect()
    }

    #[test]
    fn the_same_number_where_it_is_free_and_the_next_where_not() {
        let taken = Fake(vec![2222, 9080]);
        let request = request(HostPort::Auto, &["auto:3001", "auto:9080", "auto:80", "8080:81"]);
        let forwards = assign(&request, &Reserved::new(), &taken).unwrap();
        assert_eq!(hosts(&forwards), [2223, 3001, 9081, 8081, 8080]);
        assert_eq!(forwards.iter().map(|f| f.auto).collect::<Vec<_>>(), [true, true, true, true, false]);
    }

    #[test]
    fn numbers_that_were_asked_for_are_had_or_refused() {
        let port = |number| Port::new(number).unwrap();
        let mut reserved = Reserved::new();
        reserved.insert(port(4000), "other".parse().unwrap());
        let probe = Fake(vec![5000]);
        let ask =
            |forwards: &[&str]| assign(&request(HostPort::Auto, forwards), &reserved, &probe).unwrap_err();
        assert!(matches!(ask(&["4000:1"]), ReserveError::Reserved { .. }));
        assert!(ask(&["5000:1"]).to_string().contains("nginx"));
        assert!(matches!(ask(&["80:1"]), ReserveError::Privileged { .. }));
        assert!(matches!(ask(&["6000:1", "6000:2"]), ReserveError::Twice { .. }));
        let twice = request(HostPort::Fixed(port(6000)), &["6000:2"]);
        assert!(matches!(assign(&twice, &reserved, &probe), Err(ReserveError::Twice { .. })));
    }

    #[test]
    fn what_is_there_is_not_given_again() {
        let probe = Fake(vec![]);
        let wanted = |texts: &[&str]| texts.iter().map(|f| f.parse().unwrap()).collect::<Vec<_>>();
        let has = assign(&request(HostPort::Auto, &["8080:80"]), &Reserved::new(), &probe).unwrap();
        let name: VmName = "vm".parse().unwrap();
        let reserved: Reserved = has.iter().map(|forward| (forward.host, name.clone())).collect();
        let more = |texts: &[&str]| extend(&has, &wanted(texts), loopback(), &reserved, &probe);
        assert_eq!(hosts(&more(&["8080:80", "auto:80", "auto:22"]).unwrap()), [0u16; 0]);
        assert_eq!(hosts(&more(&["auto:81", "8080:80"]).unwrap()), [8081]);
        assert!(matches!(more(&["8080:81"]), Err(ReserveError::Reserved { .. })));
        assert!(matches!(more(&["9000:1", "9000:1"]), Err(ReserveError::Twice { .. })));
    }

    proptest! {
        #[test]
        fn no_port_is_ever_given_twice(
            fleet in proptest::collection::vec(proptest::collection::vec(1u16.., 0..6), 1..12),
            busy in proptest::collection::vec(1u16.., 0..20),
        ) {
            let probe = Fake(busy);
            let mut reserved = Reserved::new();
            let mut seen = BTreeSet::new();
            for (index, guests) in fleet.iter().enumerate() {
                let name: VmName = format!("vm{index}").parse().unwrap();
                let forwards = guests.iter().map(|g| format!("auto:{g}").parse().unwrap()).collect();
                let request = PortRequest { ssh: HostPort::Auto, forwards, bind: loopback() };
                for forward in assign(&request, &reserved, &probe).unwrap_or_default() {
                    prop_assert!(seen.insert(forward.host), "{} was given twice", forward.host);
                    reserved.insert(forward.host, name.clone());
                }
            }
        }
    }
}

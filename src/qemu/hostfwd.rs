//! Forwarded ports of a QEMU that runs: added and taken away through its monitor, whose words are the only answer.

use crate::host::layout::VmDir;
use crate::qemu::qmp::{self, QmpError};
use crate::vm::port::Forward;

/// Lets QEMU listen on the host for a forward. It refuses when it cannot open the port.
pub async fn add(dir: &VmDir, forward: &Forward) -> Result<(), QmpError> {
    let Forward { host, guest, bind, .. } = forward;
    match qmp::monitor(dir, &format!("hostfwd_add net tcp:{bind}:{host}-:{guest}")).await? {
        said if said.is_empty() => Ok(()),
        reason => Err(QmpError::Refused { command: "hostfwd_add", reason }),
    }
}

/// Lets QEMU no longer listen for a forward. Connections that it carries already go on.
pub async fn remove(dir: &VmDir, forward: &Forward) -> Result<(), QmpError> {
    let Forward { host, bind, .. } = forward;
    match qmp::monitor(dir, &format!("hostfwd_remove net tcp:{bind}:{host}")).await? {
        // "host forwarding rule for tcp:127.0.0.1:8080 removed", or "... not found" for one that it has not.
        said if said.ends_with("removed") || said.ends_with("not found") => Ok(()),
        reason => Err(QmpError::Refused { command: "hostfwd_remove", reason }),
    }
}

//! Whether stopped VMs will get the host ports that they have been given.

use crate::doctor::finding::Finding;
use crate::host::layout::VmDir;
use crate::host::listeners::{self, Listeners};
use crate::host::lock;
use crate::lifecycle::{Engine, ports};
use crate::registry::record::Record;
use crate::vm::port::Forward;

const SUBJECT: &str = "ports";

/// Looks at each forward of each VM that is not alive.
pub fn check(engine: &Engine) -> Vec<Finding> {
    let listeners = Listeners::now();
    let is_stopped = |record: &Record| {
        matches!(lock::is_held(&engine.registry.dir(&record.name).file(VmDir::RUN_LOCK)), Ok(false))
    };
    let records =
        engine.registry.list().unwrap_or_default().into_iter().filter_map(|entry| entry.record.ok());
    let records: Vec<Record> = records.filter(is_stopped).collect();
    let findings: Vec<Finding> =
        records.iter().flat_map(|record| taken(engine, record, &listeners)).collect();
    if findings.is_empty() {
        let count: usize = records.iter().map(|record| record.forwards.len()).sum();
        return vec![Finding::ok(SUBJECT, format!("nothing is in the way of the {count} of stopped VMs"))];
    }
    findings
}

fn taken(engine: &Engine, record: &Record, listeners: &Listeners) -> Vec<Finding> {
    // The table tells of every listener, and a trial whether it is in the way.
    let is_taken = |forward: &&Forward| {
        listeners.holder(forward.bind, forward.host).is_some()
            && !listeners::is_free(forward.bind, forward.host)
    };
    let found = record.forwards.iter().filter(is_taken).map(|forward| {
        let (name, host, guest) = (&record.name, forward.host, forward.guest);
        let holder = listeners.holder(forward.bind, host).unwrap_or_else(|| "another process".to_owned());
        let detail = format!("host port {host} of the stopped VM `{name}` is in use by {holder}");
        if forward.auto {
            let (engine, name) = (engine.clone(), name.clone());
            return Finding::warning(SUBJECT, detail, "its next start moves it to another port")
                .ours(move || Ok(ports::move_taken(&engine, &name)?));
        }
        let finding = Finding::error(SUBJECT, detail, "you asked for this port, so the VM will not start");
        if record.ssh() == Some(forward) {
            return finding.hint("end the other program");
        }
        finding.hint(format!(
            "end the other program, or: `ai-vm port rm {name} {host} && ai-vm port add {name} auto:{guest}`"
        ))
    });
    found.collect()
}

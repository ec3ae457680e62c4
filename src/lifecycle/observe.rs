//! Says what VMs are doing, from what is seen at this moment.

use crate::host::layout::VmDir;
use crate::host::lock;
use crate::registry::store::{Entry, Registry};
use crate::vm::state::{self, Answer, Facts, State};

/// A VM, what it should be and what it is doing.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The VM as the registry has it.
    pub entry: Entry,
    /// What it is doing.
    pub state: State,
    /// What is wrong with it, on one line.
    pub problem: Option<String>,
}

/// Looks at many VMs.
pub fn observe(registry: &Registry, entries: Vec<Entry>) -> Vec<Observed> {
    entries.into_iter().map(|entry| look_at(registry, entry)).collect()
}

fn look_at(registry: &Registry, entry: Entry) -> Observed {
    let (state, problem) = match lock::is_held(&registry.dir(&entry.name).file(VmDir::RUN_LOCK)) {
        Ok(alive) => state::derive(&Facts { alive, answer: Answer::Absent, ready: false }),
        Err(error) => (State::Broken, Some(format!("{error}: {}", error.source))),
    };
    match &entry.record {
        Ok(_) => Observed { entry, state, problem },
        Err(broken) => {
            let problem = Some(broken.to_string());
            Observed { entry, state: State::Broken, problem }
        }
    }
}

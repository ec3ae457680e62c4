//! Whether this machine has what ai-vm needs: one small check a file, and what can be done about what they find.
//!
//! A check only looks. What can be mended is said by what it finds, and done by [`mend`] alone, which then looks again:
//! what counts as mended is what is no longer found.

mod accelerator;
mod claude;
mod clock;
mod data_dir;
mod finding;
mod mend;
mod modes;
mod namespaces;
mod nix;
mod ports;
mod qemu;
mod space;
mod stale;
mod tools;

pub use finding::{Finding, Level, Remedy};

use crate::lifecycle::Engine;

/// A check, which may find several things.
type Check = fn(&Engine) -> Vec<Finding>;

/// Checks of the machine.
const MACHINE: [Check; 5] = [qemu::check, tools::check, namespaces::check, nix::check, claude::login];

/// Checks that read, or write, what is in the data directory.
const DATA: [Check; 7] =
    [accelerator::check, space::check, ports::check, stale::check, modes::check, claude::kept, clock::check];

/// Makes all checks. Those of the data directory are left away where others could have put something in it.
pub fn examine(engine: &Engine) -> Vec<Finding> {
    let mut findings: Vec<Finding> = MACHINE.iter().flat_map(|check| check(engine)).collect();
    let (data, usable) = data_dir::check(engine);
    findings.push(data);
    if usable {
        findings.extend(DATA.iter().flat_map(|check| check(engine)));
    }
    findings
}

/// Mends what can be mended without asking anybody, looks again, and returns what was mended and what is found now.
pub fn mend(engine: &Engine, findings: Vec<Finding>, on_step: &mut dyn FnMut(&str)) -> Vec<Finding> {
    let (mut fixed, now) = round(engine, findings, on_step);
    // What comes to light when the data directory can be used is mended as well.
    let again = fixed.iter().any(|finding| finding.subject == data_dir::SUBJECT);
    let (further, now) = if again { round(engine, now, on_step) } else { (Vec::new(), now) };
    fixed.extend(further);
    fixed.extend(now);
    fixed
}

/// Mends what can be mended, and looks again.
fn round(
    engine: &Engine,
    findings: Vec<Finding>,
    on_step: &mut dyn FnMut(&str),
) -> (Vec<Finding>, Vec<Finding>) {
    let attempts = mend::all(findings, on_step);
    let mut now = examine(engine);
    let mut fixed = Vec::new();
    for mend::Mended { finding, problem } in attempts {
        match (now.iter_mut().find(|other| other.is_same(&finding)), problem) {
            (Some(still), Some(problem)) => still.detail.push_str(&format!("; mending it failed: {problem}")),
            (Some(_), None) => {}
            (None, _) => fixed.push(Finding { level: Level::Ok, fixed: true, ..finding }),
        }
    }
    (fixed, now)
}

//! Whether this machine has what ai-vm needs: one small check each.

use std::path::Path;

use crate::diagnostic::Diagnostic;
use crate::host::{capacity, program};
use crate::lifecycle::Engine;
use crate::qemu::accel::{self, Accelerator};
use crate::vm::spec::AcceleratorChoice;

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Works, but not as well as it could.
    Warning,
    /// Something will fail.
    Error,
}

/// What a check found.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Finding {
    /// What was looked at.
    pub subject: &'static str,
    /// How grave it is.
    pub level: Level,
    /// What was found, on one line.
    pub detail: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Programs that are run, with the packages that bring them, and what for.
const PROGRAMS: [(&str, &str, &str); 7] = [
    ("qemu-img", "qemu-utils", "makes disks"),
    ("mmdebstrap", "mmdebstrap", "makes the Debian image"),
    ("mke2fs", "e2fsprogs", "makes the Debian image"),
    ("tar", "tar", "makes the Debian image"),
    ("bash", "bash", "makes the Debian image"),
    ("curl", "curl", "downloads images"),
    ("git", "git", "pushes work into VMs and fetches it"),
];

/// Makes all checks.
pub fn examine(engine: &Engine) -> Vec<Finding> {
    let mut findings = vec![qemu(engine)];
    findings.extend(PROGRAMS.iter().map(|(name, package, purpose)| tool(name, package, purpose)));
    findings.extend([accelerator(engine), shares(engine), namespaces(), space(engine)]);
    findings
}

fn good(subject: &'static str, detail: String) -> Finding {
    Finding { subject, level: Level::Ok, detail, hint: None }
}

fn qemu(engine: &Engine) -> Finding {
    match crate::qemu::binary(engine.qemu.as_ref()).and_then(|path| Ok((crate::qemu::version(&path)?, path)))
    {
        Ok((version, path)) => good("qemu-system-x86_64", format!("{version}, {}", path.display())),
        Err(error) => bad("qemu-system-x86_64", &error),
    }
}

fn tool(name: &'static str, package: &'static str, purpose: &str) -> Finding {
    match program::find(name, package) {
        Ok(path) => good(name, path.display().to_string()),
        Err(error) => {
            let finding = bad(name, &error);
            Finding { detail: format!("{}; it {purpose}", finding.detail), ..finding }
        }
    }
}

fn bad(subject: &'static str, error: &dyn Diagnostic) -> Finding {
    Finding {
        subject,
        level: Level::Error,
        detail: error.to_string(),
        hint: error.hints().into_iter().next(),
    }
}

fn accelerator(engine: &Engine) -> Finding {
    let subject = "accelerator";
    let Ok(qemu) = crate::qemu::binary(engine.qemu.as_ref()) else {
        return Finding {
            subject,
            level: Level::Error,
            detail: "not known without QEMU".to_owned(),
            hint: None,
        };
    };
    match accel::decide(engine.registry.layout(), &qemu, AcceleratorChoice::Auto) {
        Ok(verdict) if verdict.accel == Accelerator::Kvm => good(subject, "KVM runs guests".to_owned()),
        Ok(verdict) => {
            let group = verdict.reason.as_ref().is_some_and(|reason| reason.contains("Permission denied"));
            Finding {
                subject,
                level: Level::Warning,
                detail: format!("emulation, which is slow: {}", verdict.reason.unwrap_or_default()),
                hint: group.then(|| "`sudo usermod -aG kvm $USER`, then log in again".to_owned()),
            }
        }
        Err(error) => bad(subject, &error),
    }
}

/// Whether this QEMU was built with what shares need.
fn shares(engine: &Engine) -> Finding {
    let subject = "shares";
    match crate::qemu::binary(engine.qemu.as_ref()).and_then(|qemu| crate::qemu::share::is_known(&qemu)) {
        Ok(true) => good(subject, "QEMU can share folders".to_owned()),
        Ok(false) => Finding {
            subject,
            level: Level::Warning,
            detail: "this QEMU was built without 9p, so `--share-rw` and `--share-ro` will fail".to_owned(),
            hint: Some("use one with VirtFS, such as Debian's: `export AI_VM_QEMU=FILE`".to_owned()),
        },
        Err(error) => bad(subject, &error),
    }
}

/// Whether an ordinary user can make the Debian image.
fn namespaces() -> Finding {
    let subject = "user namespaces";
    if rustix::process::geteuid().is_root() {
        return good(subject, "not needed by root".to_owned());
    }
    let user = std::env::var("USER").unwrap_or_default();
    let uid = rustix::process::getuid().as_raw().to_string();
    let table = std::fs::read_to_string("/etc/subuid").unwrap_or_default();
    let mut owners = table.lines().filter_map(|line| line.split(':').next());
    if owners.any(|owner| owner == user || owner == uid) && program::find("newuidmap", "uidmap").is_ok() {
        return good(subject, "you have subordinate ids".to_owned());
    }
    let ids = "`sudo apt install uidmap && sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $USER`";
    Finding {
        subject,
        level: Level::Error,
        detail: "you have no subordinate ids, which making the Debian image needs".to_owned(),
        hint: Some(ids.to_owned()),
    }
}

fn space(engine: &Engine) -> Finding {
    const WANTED: u64 = 5;
    let root: &Path = engine.registry.layout().root();
    let subject = "disk space";
    match capacity::measure(root).free_disk.map(|free| free >> 30) {
        Some(free) if free >= WANTED => good(subject, format!("{free} GiB free for VMs")),
        Some(free) => Finding {
            subject,
            level: Level::Warning,
            detail: format!("only {free} GiB free in `{}`; an image and a VM take {WANTED}", root.display()),
            hint: Some("`ai-vm image prune`, or another directory: `export AI_VM_HOME=DIR`".to_owned()),
        },
        None => good(subject, "not known".to_owned()),
    }
}

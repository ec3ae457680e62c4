//! QEMU: whether it is there, new enough, and without flaws that are known and matter here.

use crate::doctor::finding::Finding;
use crate::host::program::ProcessError;
use crate::lifecycle::Engine;
use crate::qemu::args::MACHINE;
use crate::vm::guest::Guest;

const SUBJECT: &str = "qemu-system-x86_64";

/// A version: major, minor, and the number of the stable release.
type Version = (u32, u32, u32);

/// A flaw that a guest can use against this machine.
struct Flaw {
    name: &'static str,
    what: &'static str,
    /// The stable releases that are known to be without it, of their series.
    stable: &'static [Version],
    /// From here on every series is without it.
    mainline: Version,
}

/// Flaws of 9p, by which folders of this machine and the store of NixOS guests are shared. Distributions mend older versions
/// without a new number, so these are a reason to look, and none to fail.
const FLAWS: [Flaw; 2] = [
    // https://nvd.nist.gov/vuln/detail/CVE-2026-93834; in the series 11.1 by
    // https://gitlab.com/qemu-project/qemu/-/commit/abae50de244a51ae4e959274e2ef6cbf373464ff, which 11.1.2 has.
    Flaw {
        name: "CVE-2026-93834",
        what: "root in a guest with a shared folder could read and write files beyond it",
        stable: &[(11, 1, 2)],
        mainline: (11, 2, 0),
    },
    // https://nvd.nist.gov/vuln/detail/CVE-2023-2861; in the series 7.2 with v7.2.4, by the changelog of Debian's package,
    // in the main line by https://gitlab.com/qemu-project/qemu/-/commit/f6b0de53fb87ddefed348a39284c8e2f28dc4eda.
    Flaw {
        name: "CVE-2023-2861",
        what: "a guest with a shared folder could open devices of this machine that it finds there",
        stable: &[(7, 2, 4)],
        mainline: (8, 1, 0),
    },
];

impl Flaw {
    fn is_in(&self, version: Version) -> bool {
        let series = |(major, minor, _): Version| (major, minor);
        let is_mended = |good: &Version| series(*good) == series(version) && version >= *good;
        version < self.mainline && !self.stable.iter().any(is_mended)
    }
}

/// Looks at QEMU, and at what it was built with.
pub fn check(engine: &Engine) -> Vec<Finding> {
    let qemu = match crate::qemu::binary(engine.qemu.as_ref()) {
        Ok(qemu) => qemu,
        Err(error) => {
            let finding = Finding::of(SUBJECT, &error, "no VM can be started");
            let package = "qemu-system-x86";
            return vec![finding.root(&["apt-get", "install", "--yes", "--quiet", package])];
        }
    };
    let said = match crate::qemu::version(&qemu) {
        Ok(said) => said,
        Err(error) => return vec![Finding::of(SUBJECT, &error, "no VM can be started")],
    };
    let mut findings = vec![age(&said, &format!("{said}, {}", qemu.display()))];
    findings.extend(flaws(engine, &said));
    findings.push(shares(crate::qemu::share::is_known(&qemu)));
    findings
}

fn age(said: &str, detail: &str) -> Finding {
    match version(said) {
        Some(version) if version < oldest() => {
            let meaning = format!("it does not know the machine type `{MACHINE}`, so no VM can be started");
            Finding::error(SUBJECT, detail, &meaning)
                .hint("use a newer one: `export AI_VM_QEMU=FILE`, or upgrade the distribution")
        }
        _ => Finding::ok(SUBJECT, detail),
    }
}

/// Returns the version that the machine type of VMs asks for: `pc-q35-7.2` came with 7.2.
fn oldest() -> Version {
    MACHINE.rsplit('-').next().and_then(version).unwrap_or_default()
}

/// Reads `7.2.22`, also with something behind it.
fn version(said: &str) -> Option<Version> {
    let mut parts = said.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse().ok());
    Some((parts.next()?, parts.next()?, parts.next().unwrap_or_default()))
}

fn flaws(engine: &Engine, said: &str) -> Vec<Finding> {
    let subject = "QEMU flaws";
    let known: Vec<&Flaw> = version(said)
        .map(|version| FLAWS.iter().filter(|flaw| flaw.is_in(version)).collect())
        .unwrap_or_default();
    let uses_9p = engine.registry.list().unwrap_or_default().into_iter().any(|entry| {
        entry.record.is_ok_and(|record| !record.shares.is_empty() || matches!(record.guest, Guest::Nixos(_)))
    });
    if !uses_9p || known.is_empty() {
        let detail = match known.is_empty() {
            true => format!("none known of {said}"),
            false => "those that are known matter to VMs that share folders, and there are none".to_owned(),
        };
        return vec![Finding::ok(subject, detail)];
    }
    let finding = |flaw: &Flaw| {
        let detail = format!("{}: the version number {said} does not say that it is mended", flaw.name);
        let hint = format!(
            "upgrade QEMU; distributions mend it without a new number, Debian's says so: \
             `zgrep {} /usr/share/doc/qemu-system-x86/changelog.Debian.gz`",
            flaw.name
        );
        Finding::warning(subject, detail, flaw.what).hint(hint)
    };
    known.into_iter().map(finding).collect()
}

/// Whether this QEMU was built with what shares need.
fn shares(known: Result<bool, ProcessError>) -> Finding {
    let subject = "shares";
    match known {
        Ok(true) => Finding::ok(subject, "QEMU can share folders"),
        Ok(false) => Finding::warning(
            subject,
            "this QEMU was built without 9p",
            "`--share-rw`, `--share-ro` and NixOS guests that use this machine's store will fail",
        )
        .hint("use one with VirtFS, such as Debian's: `export AI_VM_QEMU=FILE`"),
        Err(error) => Finding::of(subject, &error, "no folder can be shared"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_what_is_known_of_them() {
        assert_eq!(oldest(), (7, 2, 0));
        assert_eq!(version("10.0.8"), Some((10, 0, 8)));
        assert_eq!(version("9.1"), Some((9, 1, 0)));
        assert_eq!(version("11.2.0-rc1"), Some((11, 2, 0)));
        assert_eq!(version("of unknown version"), None);
        let known = |version| -> Vec<&str> {
            FLAWS.iter().filter(|flaw| flaw.is_in(version)).map(|flaw| flaw.name).collect()
        };
        assert_eq!(known((7, 2, 3)), ["CVE-2026-93834", "CVE-2023-2861"]);
        assert_eq!(known((7, 2, 4)), ["CVE-2026-93834"]);
        assert_eq!(known((8, 0, 9)), ["CVE-2026-93834", "CVE-2023-2861"]);
        assert_eq!(known((11, 1, 1)), ["CVE-2026-93834"]);
        assert!(known((11, 1, 2)).is_empty() && known((12, 0, 0)).is_empty());
    }
}

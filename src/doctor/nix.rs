//! Nix, which makes NixOS guests.

use crate::doctor::finding::Finding;
use crate::guest::nixos::{self, NixHealth};
use crate::lifecycle::Engine;
use crate::vm::guest::Guest;

const SUBJECT: &str = "nix";

/// Looks at Nix. That there is none matters where there are NixOS guests.
pub fn check(engine: &Engine) -> Vec<Finding> {
    let is_nixos = |guest: &Guest| matches!(guest, Guest::Nixos(_));
    let records =
        engine.registry.list().unwrap_or_default().into_iter().filter_map(|entry| entry.record.ok());
    let wanted = records.filter(|record| is_nixos(&record.guest)).count();
    let meaning = match wanted {
        0 => "new VMs are Debian guests; NixOS guests cannot be made".to_owned(),
        count => format!("no NixOS guest can be made or started anew, and there are {count}"),
    };
    let worse = |detail: String| match wanted {
        0 => Finding::warning(SUBJECT, detail, &meaning),
        _ => Finding::error(SUBJECT, detail, &meaning),
    };
    vec![match nixos::health() {
        NixHealth::Missing if wanted == 0 => Finding::ok(SUBJECT, format!("not installed: {meaning}")),
        NixHealth::Missing => {
            worse("`nix` is not installed".to_owned()).root(&["apt-get", "install", "--yes", "--quiet", "nix-bin"])
        }
        NixHealth::TooOld { version, oldest: (major, minor) } => {
            worse(format!("{version} is older than {major}.{minor}, which NixOS is made with"))
                .hint("`sudo -i nix upgrade-nix`, or a newer one: https://nixos.org/download")
        }
        NixHealth::Broken { version, reason } => {
            worse(format!("{version} does not evaluate flakes: {reason}"))
                .hint("look what it says: `nix --extra-experimental-features 'nix-command flakes' eval --expr 'builtins ? getFlake'`")
        }
        NixHealth::Usable { version } => Finding::ok(SUBJECT, format!("{version}, with flakes")),
    }]
}

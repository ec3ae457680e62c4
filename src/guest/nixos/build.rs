//! Builds a system with Nix. What differs between VMs reaches Nix as JSON in a file; nothing is ever pasted into an
//! expression.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::diagnostic::{Diagnostic, Kind};
use crate::guest::error::ImageError;
use crate::guest::manifest::Manifest;
use crate::guest::nixos::flake::Flake;
use crate::guest::nixos::health::nix;
use crate::guest::nixos::progress::{News, Progress};
use crate::guest::nixos::{embedded, manifest};
use crate::host::files::{self, failed};
use crate::host::layout::Layout;
use crate::host::process;
use crate::host::program::ProcessError;
use crate::host::staging::Staging;
use crate::vm::desktop::Resolution;

/// How long a build may take: a kernel that has to be compiled takes hours on a small machine.
pub const LIMIT: Duration = Duration::from_secs(12 * 3600);

/// How long it may take to note that a result is still wanted.
const ROOT_LIMIT: Duration = Duration::from_secs(120);

/// What is wanted of a system. Everything else about a VM is given at launch, so that one build serves many.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The login name.
    pub user: String,
    /// Its numeric id.
    pub uid: u32,
    /// The release whose defaults the data of the VM follow; without one, that of the flake.
    pub state_version: Option<String>,
    /// What else it is to have.
    pub features: Features,
}

/// What a system can have and mostly has not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// A store that is in memory, for a VM that begins with a clean disk at each start.
    pub overlay: bool,
    /// Sound.
    pub audio: bool,
    /// A desktop on a screen of this size.
    pub desktop: Option<Resolution>,
}

impl Wanted {
    /// Returns the arguments of the flake's `makeCustomVM`.
    fn json(&self) -> String {
        let user = json!({ "name": self.user, "uid": self.uid });
        let mut wanted = json!({ "schema": 1, "users": [user], "stateVersion": self.state_version });
        let Features { overlay, audio, desktop } = self.features;
        // What is not wanted is not said, so that it is the same system, and the same kind, as before there were these.
        let said = [
            ("overlay", overlay.then_some(json!(true))),
            ("audio", audio.then_some(json!(true))),
            ("desktop", desktop.map(|_| json!(true))),
            ("resolution", desktop.map(|resolution| json!(resolution))),
        ];
        for (key, value) in said {
            if let (Some(wanted), Some(value)) = (wanted.as_object_mut(), value) {
                wanted.insert(key.to_owned(), value);
            }
        }
        wanted.to_string()
    }

    /// Returns a text that is the same for what is built from one flake to the same end.
    fn key(&self, flake: &Flake) -> String {
        // Which release it began with does not make a VM another kind.
        let kind = Self { state_version: None, ..self.clone() };
        let mut digest = Sha256::new();
        digest.update(flake.reference.as_bytes());
        digest.update([0]);
        digest.update(kind.json());
        digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Builds a system and returns the name of its image, the same for the same result, and what it consists of. Blocks.
pub fn build(
    layout: &Layout,
    flake: &Flake,
    wanted: &Wanted,
    on_step: impl FnMut(&str),
) -> Result<(String, Manifest), ImageError> {
    let staged = Staging::enter(layout)?.new_dir()?;
    let dir = staged.path();
    files::write_new(&dir.join("flake.nix"), embedded::vm_flake().as_bytes())?;
    files::write_new(&dir.join("vm.json"), wanted.json().as_bytes())?;
    let link = dir.join("result");
    // Beside the images, because of a build that failed there is no image.
    let log = layout.nixos_log();
    let mut nix = nix()?;
    // From inside, so that the directory needs no name: what a path may hold differs between versions of Nix.
    nix.current_dir(dir).args(["build", "--no-write-lock-file", "--log-format", "internal-json"]);
    nix.args(["--out-link", "result", "--override-input", "ai-vm", &flake.reference, "path:."]);
    run(&mut nix, flake, &log, on_step)?;
    let result = std::fs::read_link(&link).map_err(failed("read", &link))?;
    let manifest = manifest::read(&result, wanted.key(flake))?;
    let id = image_id(&result);
    // The link in the staging area goes, and with it Nix' reason to keep the result.
    keep(layout, &id, &result)?;
    Ok((id, manifest))
}

/// Runs Nix and writes down what it says.
fn run(
    nix: &mut Command,
    flake: &Flake,
    log: &Path,
    mut on_step: impl FnMut(&str),
) -> Result<(), ImageError> {
    files::remove_if_there(log)?;
    let mut written = files::create_private(log)?;
    let mut progress = Progress::default();
    let mut words = Vec::new();
    // A log that cannot be written is no reason to end a build.
    let note = |file: &mut File, line: &str| drop(writeln!(file, "{line}"));
    let ended = process::listen(nix, LIMIT, |line| match progress.hear(line) {
        Some(News::Step(step)) => {
            note(&mut written, &step);
            on_step(&step);
        }
        Some(News::Log(line)) => note(&mut written, &line),
        Some(News::Error(error)) => {
            note(&mut written, &error);
            words.push(error);
        }
        None => {}
    });
    Ok(ended
        .map_err(|source| Box::new(NixError { flake: flake.clone(), words, log: log.to_owned(), source }))?)
}

/// Nix did not build a system.
#[derive(Debug, thiserror::Error)]
#[error("Nix could not build a system from `{}` ({}){}", flake.reference.escape_debug(), flake.origin, self.reason())]
pub struct NixError {
    flake: Flake,
    /// What Nix said went wrong.
    words: Vec<String>,
    /// Where all that it said is kept.
    log: PathBuf,
    /// How it ended.
    source: ProcessError,
}

impl NixError {
    /// Returns what matters most, to follow what was tried.
    fn reason(&self) -> String {
        // The error at the end is the one that the others led to; its first line says it. What else has its level is advice.
        let last = self.words.iter().rev().find(|words| words.starts_with("error:"));
        let lines = last.into_iter().flat_map(|words| words.lines());
        let plain = |line: &str| line.trim().trim_start_matches("error:").trim().to_owned();
        let words = lines.map(plain).find(|line| !line.is_empty());
        words.map(|words| format!(": {words}")).unwrap_or_default()
    }
}

impl Diagnostic for NixError {
    fn kind(&self) -> Kind {
        self.source.kind()
    }

    fn hints(&self) -> Vec<String> {
        vec![format!("everything that Nix said: `less {}`", self.log.display())]
    }
}

/// Sees to it that Nix keeps a result: a link that is known to its garbage collector.
fn keep(layout: &Layout, id: &str, result: &Path) -> Result<(), ImageError> {
    let link = layout.gc_root(id);
    files::create_private_dir(link.parent().unwrap_or(layout.root()))?;
    // Given a path of the store, this builds nothing and only makes the link.
    process::output(nix()?.args(["build", "--out-link"]).arg(&link).arg(result), ROOT_LIMIT)?;
    Ok(())
}

/// Names an image after its result: a path of the store begins with a hash of everything that went into it.
fn image_id(result: &Path) -> String {
    let name = result.file_name().unwrap_or_default().to_string_lossy();
    let hash: String = name.chars().take_while(char::is_ascii_alphanumeric).take(12).collect();
    format!("nixos-{hash}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::nixos::flake::Origin;

    #[test]
    fn a_kind_is_a_flake_and_what_is_wanted() {
        let flake = |reference: &str| Flake { reference: reference.into(), origin: Origin::Option };
        let wanted = |user: &str, state_version: Option<&str>| Wanted {
            user: user.into(),
            uid: 1000,
            state_version: state_version.map(str::to_owned),
            features: Features::default(),
        };
        let one = wanted("dev", None).key(&flake("path:/a"));
        assert_eq!(one, wanted("dev", Some("26.11")).key(&flake("path:/a")));
        assert_ne!(one, wanted("dev", None).key(&flake("path:/b")));
        assert_ne!(one, wanted("eve", None).key(&flake("path:/a")));
        assert_eq!(image_id(Path::new("/nix/store/0123456789abcdef-ai-vm-x")), "nixos-0123456789ab");
        assert_eq!(
            wanted("dev", None).json(),
            r#"{"schema":1,"stateVersion":null,"users":[{"name":"dev","uid":1000}]}"#
        );
        let features = Features { overlay: true, audio: false, desktop: Some("1280x720".parse().unwrap()) };
        let more = Wanted { features, ..wanted("dev", None) }.json();
        assert!(more.contains(r#""overlay":true"#) && more.contains(r#""resolution":"1280x720""#), "{more}");
        assert!(more.contains(r#""desktop":true"#) && !more.contains("audio"), "{more}");
    }
}

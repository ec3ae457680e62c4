//! The Debian guest that ai-vm builds itself, once for each content of its recipe.

mod recipe;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::guest::error::ImageError;
use crate::guest::manifest::{self, DirectBoot, Manifest};
use crate::host::files::{self, failed};
use crate::host::process;
use crate::host::program;
use crate::qemu::disk::DiskFormat;

/// How long the build may take. On two cores with a near mirror it takes one minute; most of it is unpacking.
const LIMIT: Duration = Duration::from_secs(30 * 60);

/// Which of the images that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// For work by SSH alone.
    Plain,
    /// The same, and a desktop on the screen of a VM that has one.
    Desktop,
}

impl Variant {
    /// Returns the one for a VM, by whether it is to have a desktop.
    pub const fn of(desktop: bool) -> Self {
        if desktop { Self::Desktop } else { Self::Plain }
    }

    /// Returns what it is made from.
    fn files(self) -> impl Iterator<Item = &'static recipe::File> {
        let more = match self {
            Self::Plain => &[],
            Self::Desktop => recipe::DESKTOP,
        };
        recipe::FILES.iter().chain(more)
    }

    /// Returns what somebody should know before it is made: what that takes on two cores with a near mirror.
    const fn effort(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Desktop => Some("Debian with a desktop, which takes some minutes and 2 GiB of disk, once"),
        }
    }

    /// Returns how the names of its images begin.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Plain => "debian",
            Self::Desktop => "debian-desktop",
        }
    }
}

/// What the user can decide about the image.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The Debian mirror, instead of the one that this machine's apt uses.
    pub mirror: Option<String>,
}

/// Returns the name of the image that the recipe makes. Another recipe makes another image.
pub fn image_id(variant: Variant) -> String {
    let mut digest = Sha256::new();
    for (name, content) in variant.files() {
        digest.update((name.len() as u64).to_be_bytes());
        digest.update(name);
        digest.update((content.len() as u64).to_be_bytes());
        digest.update(content);
    }
    let hex: String = digest.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{hex}", variant.prefix())
}

/// Builds the image in an empty directory; `on_step` gets each step's name. Blocks.
pub fn build(
    dir: &Path,
    variant: Variant,
    options: &Options,
    mut on_step: impl FnMut(&str),
) -> Result<Manifest, ImageError> {
    if let Some(effort) = variant.effort() {
        on_step(effort);
    }
    let recipe = dir.join("recipe.d");
    for (name, content) in variant.files() {
        let path = recipe.join(name);
        let parent = path.parent().unwrap_or(&recipe);
        std::fs::create_dir_all(parent).map_err(failed("create", parent))?;
        files::write_new(&path, content.as_bytes())?;
    }
    let bash = program::find("bash", "bash").map_err(ImageError::Process)?;
    let mut command = Command::new(bash);
    command.arg(recipe.join("build.sh")).arg(dir);
    if let Some(mirror) = &options.mirror {
        command.env("AI_VM_MIRROR", mirror);
    }
    let on_line = |line: &str| {
        if let Some(step) = line.strip_prefix("step: ") {
            on_step(step);
        }
    };
    process::stream(&mut command, &dir.join("build.log"), LIMIT, on_line)
        .map_err(|source| ImageError::Build { what: "Debian image", source })?;
    std::fs::remove_dir_all(&recipe).map_err(failed("remove", &recipe))?;
    let cmdline = files::read_bounded(&dir.join("cmdline"), 4096)?;
    Ok(Manifest {
        family: "debian".to_owned(),
        created: manifest::now(),
        disk: Some("root.img".to_owned()),
        format: DiskFormat::Raw,
        boot: Some(DirectBoot {
            kernel: "vmlinux".to_owned(),
            initrd: "initrd.img".to_owned(),
            cmdline: String::from_utf8_lossy(&cmdline).trim().to_owned(),
        }),
        desktop: variant == Variant::Desktop,
        source: None,
        nixos: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_variant_is_an_image_of_its_own() {
        let [plain, desktop] = [Variant::Plain, Variant::Desktop].map(image_id);
        let digest = |id: &str, prefix: &str| id.strip_prefix(prefix).unwrap().to_owned();
        assert_ne!(digest(&plain, "debian-"), digest(&desktop, "debian-desktop-"));
        assert_eq!(digest(&desktop, "debian-desktop-").len(), 12);
        // What only a desktop is made from is no reason to make the other one anew.
        assert!(Variant::Plain.files().all(|(name, _)| !name.starts_with("desktop/")));
        let all: Vec<_> = Variant::Desktop.files().collect();
        assert!(Variant::Plain.files().all(|file| all.contains(&file)));
    }
}

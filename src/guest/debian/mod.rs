//! The Debian guest that ai-vm builds itself, once for each content of its recipe.

mod recipe;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::guest::error::ImageError;
use crate::guest::store::{self, DirectBoot, Manifest};
use crate::host::files::{self, failed};
use crate::host::process;
use crate::host::program;
use crate::qemu::disk::DiskFormat;

/// How long the build may take. On two cores with a near mirror it takes one minute; most of it is unpacking.
const LIMIT: Duration = Duration::from_secs(30 * 60);

/// What the user can decide about the image.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The Debian mirror, instead of the one that this machine's apt uses.
    pub mirror: Option<String>,
}

/// Returns the name of the image that the recipe makes. Another recipe makes another image.
pub fn image_id() -> String {
    let mut digest = Sha256::new();
    for (name, content) in recipe::FILES {
        digest.update((name.len() as u64).to_be_bytes());
        digest.update(name);
        digest.update((content.len() as u64).to_be_bytes());
        digest.update(content);
    }
    let hex: String = digest.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("debian-{hex}")
}

/// Builds the image in an empty directory; `on_step` gets each step's name. Blocks.
pub fn build(dir: &Path, options: &Options, mut on_step: impl FnMut(&str)) -> Result<Manifest, ImageError> {
    let recipe = dir.join("recipe.d");
    for (name, content) in recipe::FILES {
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
        created: store::now(),
        disk: Some("root.img".to_owned()),
        format: DiskFormat::Raw,
        boot: Some(DirectBoot {
            kernel: "vmlinux".to_owned(),
            initrd: "initrd.img".to_owned(),
            cmdline: String::from_utf8_lossy(&cmdline).trim().to_owned(),
        }),
        source: None,
        nixos: None,
    })
}

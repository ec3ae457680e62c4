//! `ai-vm trust`: agrees to what a repository asks of this machine.

use std::path::PathBuf;

use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::project;
use crate::project::error::ProjectError;
use crate::project::file::{FILE, Project};
use crate::project::trust::{self, Trust};

/// Agree to what a repository's `.ai-vm.toml` asks of this machine
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Agreed to is one text of one file: when it changes, by whomever, `ai-vm up` asks again, or fails where nobody \
    can be asked. What was agreed to is kept in ai-vm's data directory, never in the repository.\n\n\
    Exit codes: 0 it is trusted, or with --revoke no more; 1 it is not; 3 there is no such file.\n\n\
    Examples:\n  \
    ai-vm trust                                           the file in or above this folder\n  \
    ai-vm trust --show ~/src/app\n  \
    ai-vm trust --revoke ~/src/app"
)]
pub struct Args {
    /// The file, or its folder [default: the nearest `.ai-vm.toml` in or above this folder]
    #[arg(value_name = "PATH")]
    path: Option<PathBuf>,
    /// Say how far it is trusted, and what it asks for
    #[arg(long, conflicts_with = "revoke")]
    show: bool,
    /// Trust it no more
    #[arg(long)]
    revoke: bool,
    /// Agree without being asked
    #[arg(short, long, conflicts_with_all = ["show", "revoke"])]
    yes: bool,
    /// With --show, print an object: path, sha256, trust, asks_for
    #[arg(long, requires = "show")]
    json: bool,
}

/// How far a file is trusted, as `--json` shows it. Keys are only ever added.
#[derive(Serialize)]
struct Shown<'a> {
    path: String,
    sha256: &'a str,
    trust: &'static str,
    asks_for: Vec<String>,
}

/// Agrees, shows or revokes.
pub fn run(ctx: &Context, args: &Args) -> Result<u8, Failure> {
    let layout = ctx.registry().layout();
    let dir = project::working_directory()?;
    let path = args.path.as_ref().map(|path| dir.join(path)).map(|path| match path.is_dir() {
        true => path.join(FILE),
        false => path,
    });
    if args.revoke {
        // Also of a file that cannot be read any more.
        let path = match path {
            Some(path) => path,
            None => found(&dir)?.path,
        };
        let was = trust::revoke(layout, &path)?;
        let is = if was { "is trusted no more" } else { "was not trusted" };
        ctx.terminal.status(&format!("`{}` {is}", path.display()));
        return Ok(0);
    }
    let project = match path {
        Some(path) => Project::read(&path)?,
        None => found(&dir)?,
    };
    let trust = trust::of(layout, &project);
    if args.show {
        let asks_for = project::guarded(ctx, &project);
        let word = match trust {
            Trust::Yes => "yes",
            Trust::Changed => "changed",
            Trust::No => "no",
        };
        if args.json {
            let path = project.path.to_string_lossy().into_owned();
            ctx.print_json(&Shown { path, sha256: &project.digest, trust: word, asks_for })?;
        } else {
            let asks = if asks_for.is_empty() { "nothing".to_owned() } else { asks_for.join(", ") };
            let text = format!(
                "path      {}\nsha256    {}\ntrusted   {word}\nasks for  {asks}\n",
                project.path.display(),
                project.digest
            );
            ctx.print(&crate::ui::filter::lines(&text))?;
        }
        return Ok(u8::from(trust != Trust::Yes));
    }
    match (trust, args.yes) {
        (Trust::Yes, _) => {}
        (_, true) => trust::agree(layout, &project)?,
        (_, false) => project::agree(ctx, &project)?,
    }
    ctx.terminal.status(&format!("`{}` is trusted as it is now", project.path.display()));
    Ok(0)
}

fn found(dir: &std::path::Path) -> Result<Project, ProjectError> {
    Project::find(dir)?.ok_or_else(|| ProjectError::None { dir: dir.to_owned() })
}

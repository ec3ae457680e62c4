//! `ai-vm generate`: the manual pages and the reference, made from what clap knows, so that they say what is true.

use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory, ValueEnum};

use crate::cli::failure::Failure;
use crate::cli::root::Cli;
use crate::host::files::{FileError, failed};
use crate::ui::terminal::Terminal;

/// How wide the reference is, in columns.
const WIDTH: usize = 100;

/// What stands at the top of the reference.
const HEAD: &str = "# Reference\n\nWhat every verb of `ai-vm` takes, as `--help` says it. Made by `ai-vm generate reference docs`: \
    do not edit.\n\n";

/// What can be made.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// Manual pages, one a verb
    Man,
    /// The reference
    Reference,
}

/// Write the manual pages, or docs/reference.md; for packages and this repository
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to write
    what: What,
    /// Where to write it: a directory, made if it is not there
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

/// Writes what was asked for. Reads nothing of this machine's, so that a package can be built with it.
pub fn run(terminal: &Terminal, args: &Args) -> Result<u8, Failure> {
    std::fs::create_dir_all(&args.dir).map_err(failed("create", &args.dir))?;
    let written = match args.what {
        What::Man => man(&args.dir)?,
        What::Reference => {
            let path = args.dir.join("reference.md");
            std::fs::write(&path, reference()).map_err(failed("write", &path))?;
            path
        }
    };
    terminal.status(&format!("written: {}", written.display()));
    Ok(0)
}

fn man(dir: &Path) -> Result<PathBuf, FileError> {
    clap_mangen::generate_to(Cli::command(), dir).map_err(failed("write to", dir))?;
    Ok(dir.to_owned())
}

/// Returns the reference as Markdown.
fn reference() -> String {
    let mut root = Cli::command().term_width(WIDTH);
    root.build();
    let mut text = HEAD.to_owned();
    for verb in root.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        text.push_str(&format!("[{0}](#ai-vm-{0})\n", verb.get_name()));
    }
    section(&mut text, root);
    text
}

fn section(text: &mut String, mut command: Command) {
    let name = command.get_bin_name().unwrap_or("ai-vm").to_owned();
    let help = command.render_long_help().to_string();
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    text.push_str(&format!("\n## {name}\n\n```text\n{}\n```\n", help.join("\n").trim()));
    let below: Vec<Command> = command.get_subcommands().filter(|verb| !verb.is_hide_set()).cloned().collect();
    below.into_iter().for_each(|verb| section(text, verb));
}

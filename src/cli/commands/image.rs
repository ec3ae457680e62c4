//! `ai-vm image`: the images that VMs are made from.

use clap::Subcommand;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::guest::store;
use crate::lifecycle::image;
use crate::ui::table;
use crate::vm::name::VmName;
use crate::vm::spec::Guest;

/// Arguments of `image`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

/// What can be done with images.
#[derive(Debug, Subcommand)]
enum Verb {
    /// List the images
    Ls {
        /// Print an array of objects
        #[arg(long, conflicts_with = "quiet")]
        json: bool,
        /// Print names only
        #[arg(short, long)]
        quiet: bool,
    },
    /// Make the Debian image now instead of at the first start
    Build,
    /// Remove images
    Rm {
        /// Images by name
        #[arg(value_name = "IMAGE", required = true)]
        images: Vec<String>,
    },
    /// Remove every image that no VM uses
    Prune,
}

/// An image as `image ls --json` shows it.
#[derive(Debug, Serialize)]
struct Summary {
    id: String,
    guest: Option<String>,
    created: Option<String>,
    bytes: Option<u64>,
    vms: Vec<VmName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// Does what was asked for.
pub fn run(ctx: &Context, args: Args) -> Result<u8, Failure> {
    match args.verb {
        Verb::Ls { json, quiet } => list(ctx, json, quiet),
        Verb::Build => {
            let held = image::ensure(&ctx.engine, &Guest::Debian, &ctx.listener("debian"))?;
            ctx.terminal.status(&format!("{}: ready", held.image.id));
            Ok(0)
        }
        Verb::Rm { images } => {
            for id in images {
                image::remove(&ctx.engine, &id)?;
                ctx.terminal.status(&format!("{id}: removed"));
            }
            Ok(0)
        }
        Verb::Prune => {
            for id in store::ids(ctx.registry().layout())? {
                if image::users(&ctx.engine, &id)?.is_empty() {
                    image::remove(&ctx.engine, &id)?;
                    ctx.terminal.status(&format!("{id}: removed"));
                }
            }
            Ok(0)
        }
    }
}

fn list(ctx: &Context, json: bool, quiet: bool) -> Result<u8, Failure> {
    let mut images = Vec::new();
    for id in store::ids(ctx.registry().layout())? {
        let vms = image::users(&ctx.engine, &id)?;
        images.push(match store::open(ctx.registry().layout(), &id) {
            Ok(image) => Summary {
                bytes: Some(image.allocated()),
                guest: Some(image.manifest.family),
                created: Some(image.manifest.created),
                id,
                vms,
                problem: None,
            },
            Err(error) => {
                Summary { id, guest: None, created: None, bytes: None, vms, problem: Some(error.to_string()) }
            }
        });
    }
    if json {
        ctx.print_json(&images)?;
    } else if quiet {
        ctx.print(&images.iter().map(|image| format!("{}\n", image.id)).collect::<String>())?;
    } else if images.is_empty() {
        ctx.terminal
            .status("no images yet; the first start of a VM makes one, `ai-vm image build` makes it now");
    } else {
        let rows = images.into_iter().map(|image| {
            let vms = image.vms.iter().map(VmName::as_str).collect::<Vec<_>>().join(" ");
            let size = image.bytes.map_or_else(|| "-".to_owned(), |bytes| format!("{} MiB", bytes >> 20));
            let guest = image.problem.or(image.guest).unwrap_or_default();
            vec![image.id, guest, size, image.created.unwrap_or_default(), vms]
        });
        ctx.print(&table::render(
            &ctx.terminal,
            &["IMAGE", "GUEST", "SIZE", "CREATED", "VMS"],
            rows.collect(),
        ))?;
    }
    Ok(0)
}

//! `ai-vm image`: the images that VMs are made from.

use clap::Subcommand;
use serde::Serialize;

use crate::cli::commands::spec;
use crate::cli::context::Context;
use crate::cli::failure::{Failure, UsageError};
use crate::cli::values::value;
use crate::guest::nixos::{Features, flake};
use crate::guest::store;
use crate::lifecycle::image;
use crate::ui::table;
use crate::vm::desktop::Resolution;
use crate::vm::guest::{Family, Guest, Nixos};
use crate::vm::name::VmName;
use crate::vm::spec::UserName;

/// List, build and remove the images that VMs are made from
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ai-vm image ls\n  \
    ai-vm image build                                     now rather than at the first start\n  \
    ai-vm image build --desktop                           the one for VMs with --desktop\n  \
    ai-vm image prune                                     what no VM uses")]
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
    /// Make an image now instead of at the first start
    Build(BuildArgs),
    /// Remove images
    Rm {
        /// Images by name
        #[arg(value_name = "IMAGE", required = true)]
        images: Vec<String>,
    },
    /// Remove every image that no VM uses
    Prune,
}

/// Which image is to be made.
#[derive(Debug, clap::Args)]
struct BuildArgs {
    /// The system: `nixos` or `debian` [default: nixos where there is Nix, else debian]
    #[arg(long, value_name = "FAMILY", value_parser = value::<Family>)]
    guest: Option<Family>,
    /// The flake that a NixOS is built from [default: see `ai-vm config`]
    #[arg(long, value_name = "REF")]
    flake: Option<String>,
    /// The login name in a NixOS [default: yours]
    #[arg(long, value_name = "NAME", value_parser = value::<UserName>)]
    user: Option<UserName>,
    /// With a desktop, for VMs with --desktop: Xfce in a Debian, KDE Plasma in a NixOS
    #[arg(long)]
    desktop: bool,
    /// The size of the screen that a NixOS is built for; a Debian takes any [default: 1920x1080]
    #[arg(long, value_name = "WIDTHxHEIGHT", requires = "desktop", value_parser = value::<Resolution>)]
    resolution: Option<Resolution>,
}

/// An image as `image ls --json` shows it.
#[derive(Debug, Serialize)]
struct Summary {
    id: String,
    guest: Option<String>,
    desktop: Option<bool>,
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
        Verb::Build(args) => build(ctx, args),
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

fn build(ctx: &Context, args: BuildArgs) -> Result<u8, Failure> {
    let family = match args.guest {
        Some(family) => family,
        None if args.flake.is_some() => Family::Nixos,
        None => ctx.default_guest()?,
    };
    let listener = ctx.listener(family.name());
    let held = match family {
        Family::Debian => image::ensure(&ctx.engine, &Guest::Debian, args.desktop, &listener)?,
        Family::Nixos => {
            let guest = Nixos { flake: args.flake.as_deref().map(flake::absolute), state_version: None };
            let user = spec::login_name(ctx, args.user)?;
            let desktop = args.desktop.then(|| args.resolution.unwrap_or(Resolution::DEFAULT));
            let features = Features { desktop, ..Features::default() };
            image::nixos_system(&ctx.engine, &guest, &user, features, &listener)?
        }
        Family::Image => {
            return Err(UsageError {
                message: "an image that you bring is not built".to_owned(),
                hint: "create a VM from it: `ai-vm create NAME --image FILE`".to_owned(),
            }
            .into());
        }
    };
    drop(listener);
    ctx.terminal.done(&held.image.id, "ready");
    Ok(0)
}

fn list(ctx: &Context, json: bool, quiet: bool) -> Result<u8, Failure> {
    let mut images = Vec::new();
    for id in store::ids(ctx.registry().layout())? {
        let vms = image::users(&ctx.engine, &id)?;
        images.push(match store::open(ctx.registry().layout(), &id) {
            Ok(image) => Summary {
                bytes: Some(image.allocated()),
                desktop: Some(image.manifest.desktop),
                guest: Some(image.manifest.family),
                created: Some(image.manifest.created),
                id,
                vms,
                problem: None,
            },
            Err(error) => {
                let problem = Some(error.to_string());
                Summary { id, guest: None, desktop: None, created: None, bytes: None, vms, problem }
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

//! `ai-vm up`: create if missing, start, wait until ready.

use std::collections::HashMap;
use std::time::Duration;

use crate::cli::commands::create::{describe, register};
use crate::cli::commands::shell;
use crate::cli::commands::spec::SpecArgs;
use crate::cli::commands::start::until_ready;
use crate::cli::config_sync::ConfigSync;
use crate::cli::context::Context;
use crate::cli::each::{EachArgs, each};
use crate::cli::failure::{Failure, UsageError};
use crate::cli::project;
use crate::cli::targets::each_once;
use crate::cli::values::{duration, value};
use crate::lifecycle::start::How;
use crate::vm::name::VmName;

/// Create VMs that do not exist, start them, and wait until they are ready
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A repository can have a file `.ai-vm.toml` at its top, which `ai-vm up` without a name follows, or with the \
    name that it says. What is typed comes first. It may say `name`, `ram`, `cpu`, `storage`, `user` and `overlay`; and, once you \
    have agreed to just that text with `ai-vm trust`: `guest`, `image`, `sha256`, `flake`, `claude`, `ports`, `share-rw`, \
    `share-ro` and `labels`, or more than this machine can spare.\n\n\
    Examples:\n  \
    ai-vm up web                                          make it, start it, wait for it\n  \
    ai-vm up web --ram 16 --cpu 8 --storage 100 -p 8080:80\n  \
    ai-vm up web db -l team=red                           two, with a label\n  \
    ai-vm up web --share-ro ~/data --share-claude-auth\n  \
    ai-vm up web --image cloud.qcow2                      from an image of your own\n  \
    ai-vm up web --shell                                  and open a shell in it\n  \
    ai-vm up                                              what .ai-vm.toml here says"
)]
pub struct Args {
    /// Names: letters, digits, - and _; none where a `.ai-vm.toml` in or above this folder says what is meant
    #[arg(value_name = "NAME", value_parser = value::<VmName>)]
    names: Vec<VmName>,
    #[command(flatten)]
    spec: SpecArgs,
    /// How long to wait for them to be ready: 90, 5m
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration)]
    timeout: Duration,
    /// Open a login shell in it when it is ready; its exit code is passed through
    #[arg(long, conflicts_with = "json")]
    shell: bool,
    #[command(flatten)]
    many: EachArgs,
}

/// Brings VMs up. Safe to run again: what is there is used as it is. One that cannot be created does not keep the
/// others waiting.
pub fn run(ctx: &Context, args: &Args) -> Result<u8, Failure> {
    let project = project::meant(&args.names)?;
    let names = match &project {
        Some(project) => vec![project.name()?],
        None => each_once(&args.names),
    };
    let shell_in = match (args.shell, names.as_slice()) {
        (false, _) => None,
        (true, [name]) => Some(name.clone()),
        (true, _) => {
            let message = "`--shell` is for one VM".to_owned();
            return Err(
                UsageError { message, hint: "`ai-vm shell NAME` opens one in each".to_owned() }.into()
            );
        }
    };
    let spec = |exists: bool| match &project {
        None => Ok(args.spec.clone()),
        // What it needs consent for is not asked of a VM that is there.
        Some(project) if exists => Ok(args.spec.clone().or(&project.free())),
        Some(project) => {
            project::consent(ctx, project)?;
            ctx.terminal.news(&format!("as `{}` says", project.path.display()));
            Ok::<_, Failure>(args.spec.clone().or(&project.all()))
        }
    };
    let timeout = args.timeout;
    let mut not_created = HashMap::new();
    // One after the other, so that ports are given in the order of the names.
    for name in &names {
        match ctx.registry().entry(name.clone()) {
            None => match register(ctx, name.clone(), &spec(false)?) {
                Ok(record) => ctx.terminal.news(&describe(&record)),
                Err(error) => drop(not_created.insert(name.clone(), error)),
            },
            Some(entry) => {
                let spec = spec(true)?;
                let ignored = entry.record.map(|record| spec.differences(ctx, &record)).unwrap_or_default();
                if !ignored.is_empty() {
                    let ignored = ignored.join(", ");
                    ctx.terminal.warn(&format!("{name}: exists already and keeps its own {ignored}"));
                }
            }
        }
    }
    let config = ConfigSync::automatic(ctx);
    let code = each(ctx, "up", args.many, names, |vm| {
        let (error, config) = (not_created.remove(&vm.name), config.clone());
        async move {
            match error {
                Some(error) => Err(error),
                None => until_ready(vm, timeout, How::default(), config).await,
            }
        }
    })?;
    match shell_in {
        Some(name) if code == 0 => shell::open(ctx, &name, timeout),
        _ => Ok(code),
    }
}

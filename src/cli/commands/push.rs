//! `ai-vm push`: brings a branch of this repository into VMs.

use std::ffi::OsString;
use std::sync::Arc;

use crate::cli::commands::git::{GitArgs, folder, repository, shown};
use crate::cli::context::Context;
use crate::cli::each::{self, EachArgs, Job};
use crate::cli::failure::{Failure, RuntimeError, paste};
use crate::cli::project;
use crate::cli::targets::Targets;
use crate::git::push::{self, Pushed, Request};
use crate::lifecycle::event::Listener;
use crate::transfer::session::{Guests, Wanted};
use crate::vm::name::VmName;

/// Bring a branch of this git repository into VMs
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ai-vm push web                        the branch that is checked out here, into ~/FOLDER of the VM\n  \
    ai-vm push web -b HEAD:experiment     as a branch of another name\n  \
    ai-vm push --all --to work/app        into every VM, into ~/work/app\n\n\
    The folder is made where it is not there, and the branch checked out in it. In one that is there, the branch moves forward, \
    and so do the files if it is checked out and nothing is uncommitted; anything else is refused, unless --force is given, \
    which keeps what it replaces under `refs/ai-vm-replaced/` there. What is not committed here is not sent.\n\n\
    Exit codes: 0 it is there, 2 usage, 3 no such VM or commit, 4 the VM has work that would be replaced.")]
pub struct Args {
    #[command(flatten)]
    targets: Targets,
    /// What is pushed, and the branch that it is to be there: a branch, or COMMIT:BRANCH [default: what is checked out]
    #[arg(short, long, value_name = "BRANCH", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    branch: Option<String>,
    /// The folder in the VM, from the home directory [default: called like this repository]
    #[arg(long, value_name = "DIR")]
    to: Option<OsString>,
    /// Replace what the VM has, committed or not
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    git: GitArgs,
    // Last, because its heading goes on.
    #[command(flatten)]
    each: EachArgs,
}

/// Pushes.
pub fn run(ctx: &Context, args: &Args) -> Result<u8, Failure> {
    let names = project::named(ctx, &args.targets, "push")?;
    let repository = repository(ctx)?;
    let source = repository.source(args.branch.as_deref())?;
    let dir = folder(args.to.as_deref(), &repository);
    match repository.uncommitted() {
        0 => {}
        1 => ctx.terminal.warn("1 file here has changes that are not committed, which are not sent"),
        many => ctx
            .terminal
            .warn(&format!("{many} files here have changes that are not committed, which are not sent")),
    }
    let (repository, source, dir) = (Arc::new(repository), Arc::new(source), Arc::new(dir));
    let all = ctx.block_on(async {
        let wanted = Wanted::until_signal(Vec::new()).map_err(RuntimeError)?;
        let work = |Job { engine, name, listener }: Job| {
            let (repository, source, dir) = (Arc::clone(&repository), Arc::clone(&source), Arc::clone(&dir));
            let (wanted, git, force) = (wanted.clone(), args.git.clone(), args.force);
            async move {
                let listener = move |_: &VmName| -> Listener { Arc::clone(&listener) };
                let (route, start) = (git.reach.route(), git.reach.start);
                let guests = Guests { engine: &engine, route, start, listener: &listener, wanted };
                let request = Request { source: &source, dir: &dir, force, bounds: git.bounds() };
                let pushed = push::push(&guests, &repository, &name, request).await?;
                let (branch, at) = (&source.branch, source.oid.get(..10).unwrap_or_default());
                let folder = shown(&dir);
                Ok(match pushed {
                    Pushed::CheckedOut => format!("`{branch}` ({at}) is checked out in {folder}"),
                    Pushed::Beside => {
                        let words = ["exec", "-C"].map(OsString::from).into_iter();
                        let words = ["ai-vm".into()].into_iter().chain(words);
                        let words = words.chain([OsString::clone(&dir), name.as_str().into(), "--".into()]);
                        let words: Vec<OsString> =
                            words.chain(["git".into(), "switch".into(), branch.into()]).collect();
                        format!(
                            "`{branch}` ({at}) is in {folder}, where another branch stays checked out: `{}`",
                            paste(&words)
                        )
                    }
                })
            }
        };
        Ok::<_, Failure>(each::run(ctx, args.each, names, work).await)
    })?;
    each::report(ctx, "push", args.each, all?)
}

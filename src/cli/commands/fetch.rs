//! `ai-vm fetch`: fetches what was committed in VMs into this repository.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::{Arc, Mutex, PoisonError};

use crate::cli::commands::fetched;
use crate::cli::commands::git::{GitArgs, folder, repository, shown};
use crate::cli::context::Context;
use crate::cli::each::{self, EachArgs, Job};
use crate::cli::failure::{Failure, RuntimeError};
use crate::cli::project;
use crate::cli::targets::Targets;
use crate::git::fetch::{self, Request};
use crate::git::report::Report;
use crate::lifecycle::event::Listener;
use crate::transfer::session::{Guests, Wanted};
use crate::vm::name::VmName;

/// Fetch what was committed in VMs into this git repository, as `ai-vm-NAME/BRANCH`, and say what deserves a look
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ai-vm fetch web               then: git log -p HEAD..ai-vm-web/HEAD; git merge ai-vm-web/HEAD\n  \
    ai-vm fetch --all             from every VM, each into refs of its own\n  \
    ai-vm fetch web --json | jq '.[].detail.branches[].risky'\n\n\
    Branches arrive as `ai-vm-NAME/BRANCH`, what is checked out there as `ai-vm-NAME/HEAD`; no file here changes, and nothing is \
    merged. The report names files that run something, or tell an agent what to do, by being there.\n\n\
    Exit codes: 0 it was fetched, 2 usage, 3 no such VM, or no repository here, 5 not in time, 255 the connection was lost.")]
pub struct Args {
    #[command(flatten)]
    targets: Targets,
    /// The folder in the VM, from the home directory [default: called like this repository]
    #[arg(long, value_name = "DIR")]
    from: Option<OsString>,
    /// Forget branches here that the VM has no more
    #[arg(long)]
    prune: bool,
    #[command(flatten)]
    git: GitArgs,
    // Last, because its heading goes on.
    #[command(flatten)]
    each: EachArgs,
}

/// Fetches.
pub fn run(ctx: &Context, args: &Args) -> Result<u8, Failure> {
    let names = project::named(ctx, &args.targets, "fetch")?;
    let repository = repository(ctx)?;
    let dir = Arc::new(folder(args.from.as_deref(), &repository));
    let repository = Arc::new(repository);
    let reports: Arc<Mutex<BTreeMap<VmName, Report>>> = Arc::default();
    let all = ctx.block_on(async {
        let wanted = Wanted::until_signal(Vec::new()).map_err(RuntimeError)?;
        let turn = Arc::new(tokio::sync::Mutex::new(()));
        let work = |Job { engine, name, listener }: Job| {
            let (repository, dir, turn) = (Arc::clone(&repository), Arc::clone(&dir), Arc::clone(&turn));
            let (wanted, git, prune) = (wanted.clone(), args.git.clone(), args.prune);
            let reports = Arc::clone(&reports);
            async move {
                let listener = move |_: &VmName| -> Listener { Arc::clone(&listener) };
                let (route, start) = (git.reach.route(), git.reach.start);
                let guests = Guests { engine: &engine, route, start, listener: &listener, wanted };
                let request = Request { dir: &dir, bounds: git.bounds(), prune };
                let report = fetch::fetch(&guests, &repository, &name, request, &turn).await?;
                let words = fetched::words(&report, &shown(&dir));
                reports.lock().unwrap_or_else(PoisonError::into_inner).insert(name, report);
                Ok(words)
            }
        };
        Ok::<_, Failure>(each::run(ctx, args.each, names, work).await)
    })??;
    let reports = std::mem::take(&mut *reports.lock().unwrap_or_else(PoisonError::into_inner));
    if !args.each.is_json() {
        for (name, report) in &reports {
            ctx.print(&fetched::text(name, report))?;
        }
    }
    let detail = |(name, report): (VmName, Report)| Some((name, serde_json::to_value(report).ok()?));
    each::report_with(ctx, "fetch", args.each, all, reports.into_iter().filter_map(detail).collect())
}

//! `ai-vm agents logs`: what an agent has said, and what it says from now on.

use std::io;

use tokio::sync::mpsc;

use crate::agents::agent::{AgentId, Kind};
use crate::agents::guest::Guest;
use crate::agents::run::Run;
use crate::cli::commands::agents::{PATIENCE, Which, find};
use crate::cli::context::Context;
use crate::cli::failure::{Failure, UsageError};
use crate::cli::fleet_output::{FleetSink, Lines};
use crate::lifecycle::apart::News;
use crate::ssh::program::Sink;
use crate::ssh::stdio;
use crate::ui::filter;

/// How many parts of a log wait here for who reads them.
const QUEUE: usize = 16;

/// Shows what one agent has said.
pub(super) fn run(ctx: &Context, which: &Which, follow: bool) -> Result<u8, Failure> {
    let name = &which.name;
    let said = ctx.block_on(async {
        let listener = ctx.listener(name.as_str());
        let guest = Guest { engine: &ctx.engine, name, route: PATIENCE, listener: &listener };
        let (id, agent) = find(&guest, which.id.as_ref(), "logs").await?;
        match (agent.kind, follow) {
            (Kind::Run, true) => follow_run(ctx, which, &id).await.map(|()| String::new()),
            (_, true) => {
                let message = format!("only runs have a log that goes on, and {id} is none");
                let hint = format!("look at it instead: `ai-vm agents attach {name} {id}`");
                Err(UsageError { message, hint }.into())
            }
            (Kind::Run, false) => Ok(guest.log(&id).await?),
            (_, false) => Ok(format!("{}\n", guest.screen(&id).await?)),
        }
    })??;
    ctx.print(&filter::lines(&said))?;
    Ok(0)
}

/// Shows the log of a run to its end.
async fn follow_run(ctx: &Context, which: &Which, id: &AgentId) -> Result<(), Failure> {
    let name = &which.name;
    let (log, mut chunks) = mpsc::channel(QUEUE);
    let tell = |news| match news {
        News::Lost => {
            ctx.terminal.status(&format!("{name}: the connection is lost; trying to have one again"));
        }
        News::Back => ctx.terminal.status(&format!("{name}: connected again")),
        News::Begun | News::Joined => {}
    };
    let run = Run { engine: &ctx.engine, name, id, route: PATIENCE, start: false, log, tell: &tell };
    let out = stdio::output(io::stdout());
    let mut shown = FleetSink::Lines(Lines::new(String::new(), out.share(), ctx.terminal.stdout));
    let showing = async {
        while let Some(chunk) = chunks.recv().await {
            if !shown.write(chunk).await {
                break;
            }
        }
        drop(chunks);
        // Whether it was read shows in the other stream's end.
        let _ = shown.finish().await;
    };
    let (ended, ()) = tokio::join!(run.attach(ctx.listener(name.as_str())), showing);
    out.finish().await.map_err(Failure::stdout)?;
    Ok(ended?)
}

//! `ai-vm agents logs`: what an agent has said, and what it says from now on.

use std::fs::File;
use std::io::{self, Read};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::agents::agent::{AgentId, Kind};
use crate::agents::error::AgentError;
use crate::agents::guest::Guest;
use crate::agents::run::event::Reader;
use crate::agents::run::{Run, kept};
use crate::cli::commands::agents::{PATIENCE, Which, find};
use crate::cli::commands::run_words;
use crate::cli::context::Context;
use crate::cli::failure::{Failure, UsageError};
use crate::cli::fleet_output::{FleetSink, Lines};
use crate::host::files::failed;
use crate::lifecycle::apart::News;
use crate::ssh::program::Sink;
use crate::ssh::stdio;
use crate::ui::filter;

/// How many parts of a log wait here for who reads them.
const QUEUE: usize = 16;

/// How much of a copy is read at once, in bytes.
const CHUNK: usize = 64 * 1024;

/// Shows what one agent has said.
pub(super) fn run(ctx: &Context, which: &Which, raw: bool, follow: bool) -> Result<u8, Failure> {
    let name = &which.name;
    ctx.block_on(async {
        let listener = ctx.listener(name.as_str());
        let guest = Guest { engine: &ctx.engine, name, route: PATIENCE, listener: &listener };
        match find(&guest, which.id.as_ref(), "logs").await {
            Ok((id, agent)) => match (agent.kind, follow) {
                (Kind::Run, true) => follow_run(ctx, which, &id, raw).await?,
                (_, true) => {
                    let message = format!("only runs have a log that goes on, and {id} is none");
                    let hint = format!("look at it instead: `ai-vm agents attach {name} {id}`");
                    return Err(UsageError { message, hint }.into());
                }
                (Kind::Run, false) => {
                    let log = guest.log(&id).await?;
                    show(ctx, raw, |to| async move { to.send(log.into()).await.is_ok() }).await?;
                }
                (_, false) => ctx.print(&filter::lines(&format!("{}\n", guest.screen(&id).await?)))?,
            },
            // Nothing of that goes on.
            Err(error) if follow => return Err(error.into()),
            Err(error) => show_copy(ctx, which, raw, error).await?,
        }
        Ok(0)
    })?
}

/// Shows the log of a run to its end.
async fn follow_run(ctx: &Context, which: &Which, id: &AgentId, raw: bool) -> Result<(), Failure> {
    let name = &which.name;
    let tell = |news| match news {
        News::Lost => {
            ctx.terminal.status(&format!("{name}: the connection is lost; trying to have one again"));
        }
        News::Back => ctx.terminal.status(&format!("{name}: connected again")),
        News::Begun | News::Joined => {}
    };
    let follow = |log| {
        let run = Run { engine: &ctx.engine, name, id, route: PATIENCE, start: false, log, tell: &tell };
        run.attach(ctx.listener(name.as_str()))
    };
    Ok(show(ctx, raw, follow).await??)
}

/// Shows what is kept here of a run in a VM that does not answer, which is said; that alone is the error where nothing is.
async fn show_copy(ctx: &Context, which: &Which, raw: bool, error: AgentError) -> Result<(), Failure> {
    let (AgentError::NotReached(_), Some(prefix)) = (&error, &which.id) else { return Err(error.into()) };
    let mut copies = kept::beginning(&ctx.registry().dir(&which.name), &prefix.to_string());
    let (Some(path), true) = (copies.pop(), copies.is_empty()) else { return Err(error.into()) };
    ctx.terminal.status(&format!("{error}; this is what was known here"));
    let mut file = File::open(&path).map_err(failed("open", &path))?;
    let read = |to: mpsc::Sender<Bytes>| async move {
        loop {
            let mut chunk = vec![0; CHUNK];
            let count = file.read(&mut chunk).map_err(failed("read", &path))?;
            chunk.truncate(count);
            if count == 0 || to.send(chunk.into()).await.is_err() {
                return Ok(());
            }
        }
    };
    show(ctx, raw, read).await?
}

/// Shows what somebody sends, a line of words for each event unless it is wanted as it is.
async fn show<F: Future>(
    ctx: &Context,
    raw: bool,
    sends: impl FnOnce(mpsc::Sender<Bytes>) -> F,
) -> Result<F::Output, Failure> {
    let (log, mut chunks) = mpsc::channel::<Bytes>(QUEUE);
    let out = stdio::output(io::stdout());
    let mut lines = FleetSink::Lines(Lines::new(String::new(), out.share(), ctx.terminal.stdout));
    let showing = async {
        let mut reader = Reader::default();
        while let Some(chunk) = chunks.recv().await {
            let shown = if raw {
                chunk
            } else {
                let words = |event| run_words::whole(&event) + "\n";
                reader.take(&chunk).into_iter().map(words).collect::<String>().into()
            };
            if !shown.is_empty() && !lines.write(shown).await {
                break;
            }
        }
        if let Some(event) = reader.finish() {
            lines.write((run_words::whole(&event) + "\n").into()).await;
        }
        drop(chunks);
        // Whether it was read shows in the other stream's end.
        let _ = lines.finish().await;
    };
    let (sent, ()) = tokio::join!(sends(log), showing);
    out.finish().await.map_err(Failure::stdout)?;
    Ok(sent)
}

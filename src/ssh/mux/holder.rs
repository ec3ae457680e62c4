//! The process that keeps connections. See the room's description.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::unix::{OwnedWriteHalf, pipe};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, interval, sleep, timeout};

use crate::host::{files, socket};
use crate::ssh::connect::{Session, connect, log_in};
use crate::ssh::mux::pipe::source;
use crate::ssh::mux::pool::{Idle, Key, Pool};
use crate::ssh::mux::wire::{self, Listener, PIPES, Received, Reply, Request};
use crate::ssh::program::{Control, End, Program, Started, Streams};
use crate::ssh::session::SessionError;

/// How long the process stays when it has nothing to keep.
const STAY: Duration = Duration::from_secs(10);

/// How often it looks round.
const LOOK: Duration = Duration::from_secs(1);

/// How long to wait before the next request is taken when one could not be.
const RECOVER: Duration = Duration::from_millis(50);

/// How long a command is told nothing. What takes longer than a sign of life of a server takes a while.
const SOON: Duration = Duration::from_millis(50);

/// How long a program that gets no input and writes nothing may run before the command is told that it does. Most are
/// over by then, and a command that has been told has things to do, which are in their way.
const BRIEF: Duration = Duration::from_millis(10);

/// How long a command may take to say what it wants.
const REQUEST: Duration = Duration::from_secs(2);

/// How long a login may take, and how long the server may take for its first byte.
const LOGIN: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(10);

/// Keeps connections and lends them to commands, until there are none and nobody has asked for a while, or until the
/// socket is no longer its own. The caller is the only holder of the directory.
pub async fn serve(dir: &Path, name: &str) -> io::Result<()> {
    let path = dir.join(name);
    files::remove_if_there(&path).map_err(|error| error.source)?;
    let listener = socket::listen(dir, name)?;
    listener.set_nonblocking(true)?;
    let listener = UnixListener::from_std(listener)?;
    let ours = identity(&path)?;
    let pool = Arc::new(Pool::default());
    let in_use = Arc::new(());
    let mut look = interval(LOOK);
    let mut last_used = Instant::now();
    loop {
        tokio::select! {
            asked = listener.accept() => {
                let Ok((stream, _)) = asked else {
                    // Out of descriptors, most likely. Programs that run are not to end because of it.
                    sleep(RECOVER).await;
                    continue;
                };
                let (pool, in_use) = (Arc::clone(&pool), Arc::clone(&in_use));
                tokio::spawn(async move {
                    // Whoever asked went away, or will see that it got no answer.
                    let _ = lend(stream, &pool).await;
                    drop(in_use);
                });
            }
            _ = look.tick() => {
                if pool.sweep() || Arc::strong_count(&in_use) > 1 {
                    last_used = Instant::now();
                }
                let replaced = !identity(&path).is_ok_and(|found| found == ours);
                if replaced || last_used.elapsed() > STAY {
                    break;
                }
            }
        }
    }
    if identity(&path).is_ok_and(|found| found == ours) {
        files::remove_if_there(&path).map_err(|error| error.source)?;
    }
    Ok(())
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = std::fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

/// Runs one program for a command.
async fn lend(mut stream: UnixStream, pool: &Pool) -> io::Result<()> {
    let Received { request, pipes, claim, connection } =
        timeout(REQUEST, wire::receive(&mut stream)).await??;
    let (hear, mut answer) = stream.into_split();
    let key = Key { target: request.target.clone(), boot: request.boot.clone() };
    // Without a connection the command connects by itself, and tells why it cannot.
    let brought = connection.is_some();
    let found = announced(&mut answer, SOON, Reply::Here, async {
        match connection {
            Some(brought) => take_over(brought, &key).await.map(|session| (session, None)),
            None => find(pool, &key).await,
        }
    });
    let found = found.await?;
    let Some((session, standby)) = found else { return Ok(()) };
    if !claim.make() {
        // The command has gone another way meanwhile. What is in order stays for the next one.
        if let Some(standby) = standby {
            pool.put(key, Idle::with(session, standby));
        }
        return Ok(());
    }
    let begin_by = Instant::now() + request.limit;
    // Open until the end is told: to see them closed before would wake the command for nothing.
    let [_, stdout, stderr] = &pipes;
    let kept_open = [stdout.try_clone()?, stderr.try_clone()?];
    let brief = request.command.as_ref().is_some_and(|command| command.no_input);
    let begun = begin(&session, standby, request, begin_by).await;
    let ended = match begun {
        Ok(started) => {
            let carried = carry(started, pipes, Listener::new(hear));
            if brief {
                announced(&mut answer, BRIEF, Reply::Running, carried).await?
            } else {
                tell(&mut answer, Reply::Running).await;
                carried.await
            }
        }
        Err(error) => Err(error),
    };
    match ended {
        Ok(End::Closed(code)) => {
            // A connection is brought to see whether a guest has finished its set-up. One from before that knows less
            // about its user than a new one would.
            if code == 0 || !brought {
                pool.put(key, Idle::now(session));
            }
            tell(&mut answer, Reply::Ended(code)).await;
        }
        // What else is on this connection must not be in the way of others.
        Ok(end) => tell(&mut answer, Reply::Ended(end.code())).await,
        Err(SessionError::Refused(_)) => tell(&mut answer, Reply::Refused).await,
        Err(SessionError::NotBegun) => tell(&mut answer, Reply::NotBegun).await,
        Err(_) => tell(&mut answer, Reply::Lost).await,
    }
    drop(kept_open);
    Ok(())
}

/// Does something; where that takes longer than a command is told nothing, it is told how far its program is.
async fn announced<T>(
    answer: &mut OwnedWriteHalf,
    soon: Duration,
    reply: Reply,
    work: impl Future<Output = T>,
) -> io::Result<T> {
    let mut work = pin!(work);
    if let Ok(done) = timeout(soon, &mut work).await {
        return Ok(done);
    }
    wire::say(answer, &reply).await?;
    Ok(work.await)
}

/// Says something to a command that may be gone.
async fn tell(answer: &mut OwnedWriteHalf, reply: Reply) {
    let _ = wire::say(answer, &reply).await;
}

/// Logs in on a connection that a command brought.
async fn take_over(brought: OwnedFd, key: &Key) -> Option<Arc<Session>> {
    let stream = TcpStream::from_std(brought.into()).ok()?;
    log_in(stream, &key.target, Instant::now() + LOGIN).await.ok().map(Arc::new)
}

/// Returns a connection that has just shown to be alive, with a shell that waits if there was one.
async fn find(pool: &Pool, key: &Key) -> Option<(Arc<Session>, Option<Started>)> {
    while let Some(idle) = pool.take(key) {
        if let Some((session, standby)) = idle.revive().await {
            return Some((session, Some(standby)));
        }
    }
    let session = connect(&key.target, PATIENCE, Instant::now() + LOGIN).await.ok()?;
    Some((Arc::new(session), None))
}

/// Starts what was asked for: by one line to the shell that waits where that will do.
async fn begin(
    session: &Session,
    standby: Option<Started>,
    request: Request,
    begin_by: Instant,
) -> Result<Started, SessionError> {
    match (request.command, standby) {
        (Some(command), Some(mut standby)) if request.terminal.is_none() => {
            standby.begin(&command, begin_by).await?;
            Ok(standby)
        }
        (command, _) => {
            let program = command.map_or(Program::Shell, Program::Command);
            session.start(&program, request.terminal.as_ref(), begin_by).await
        }
    }
}

/// Carries the program's streams through the pipes until it ends, or until the command is gone.
async fn carry(started: Started, pipes: [OwnedFd; PIPES], mut hear: Listener) -> Result<End, SessionError> {
    let [stdin, stdout, stderr] = pipes;
    let open = |fd| pipe::Sender::from_owned_fd(fd).map_err(SessionError::Terminal);
    let stdin = pipe::Receiver::from_owned_fd(stdin).map_err(SessionError::Terminal)?;
    let streams = Streams { stdin: source(stdin), stdout: open(stdout)?, stderr: open(stderr)? };
    let (ask, control) = mpsc::channel(8);
    let listening = tokio::spawn(async move {
        while let Some(control) = hear.next::<Control>().await {
            if ask.send(control).await.is_err() {
                return;
            }
        }
        // Nobody waits for the program any more.
        let _ = ask.send(Control::GiveUp(u8::MAX)).await;
    });
    let ended = started.pump(streams, control).await;
    listening.abort();
    ended
}

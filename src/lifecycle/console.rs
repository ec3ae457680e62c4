//! The serial console of a VM, for whoever sits before it: what it says, keys for it, and its end.
//!
//! What it says is read from its log, so nothing is missing, whenever one begins to look, and QEMU never waits for a reader.
//! The socket takes keys, and tells that there is something new in the log.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{Instant, sleep, timeout};

use crate::host::detached::{self, Ended};
use crate::host::files::failed;
use crate::host::layout::VmDir;
use crate::host::{lock, socket};
use crate::lifecycle::Engine;
use crate::lifecycle::error::LifecycleError;
use crate::qemu::launch::last_words;
use crate::vm::name::VmName;

/// How often the log is looked at when nothing tells that there is more in it.
const LOOK: Duration = Duration::from_millis(50);

/// How much is read at once, in bytes.
const CHUNK: usize = 64 * 1024;

/// How long the kernel may take to tell how a process ended whose files it has closed.
const STATUS: Duration = Duration::from_secs(2);

/// What a console says.
pub struct Console {
    log: File,
    news: Option<OwnedReadHalf>,
}

/// What takes keys for it. One at a time has that.
pub struct Keys {
    socket: OwnedWriteHalf,
    _alone: File,
}

/// Opens the console of a VM that is alive, from the beginning of this launch on, or from now on. With keys if they are wanted and
/// nobody else has them.
pub fn open(
    engine: &Engine,
    name: &VmName,
    from_beginning: bool,
    with_keys: bool,
) -> Result<(Console, Option<Keys>), LifecycleError> {
    let dir = engine.registry.dir(name);
    let path = dir.file(VmDir::CONSOLE_LOG);
    let mut log = File::open(&path).map_err(failed("open", &path))?;
    if !from_beginning {
        log.seek(SeekFrom::End(0)).map_err(failed("read", &path))?;
    }
    // QEMU lets one connection in and makes the others wait: what they send would be typed when the first has gone.
    let alone = if with_keys { lock::try_exclusive(&dir.file(VmDir::CONSOLE_LOCK))? } else { None };
    let connect = || {
        let stream = socket::connect(dir.path(), VmDir::CONSOLE_SOCKET)?;
        stream.set_nonblocking(true)?;
        UnixStream::from_std(stream)
    };
    let halves = alone.and_then(|alone| Some((alone, connect().ok()?.into_split())));
    Ok(match halves {
        Some((alone, (news, socket))) => {
            (Console { log, news: Some(news) }, Some(Keys { socket, _alone: alone }))
        }
        None => (Console { log, news: None }, None),
    })
}

impl Console {
    /// Waits until it says something more, and returns that. Nothing is lost when this is dropped before it returns.
    pub async fn more(&mut self) -> io::Result<Vec<u8>> {
        loop {
            let said = self.rest()?;
            if !said.is_empty() {
                return Ok(said);
            }
            self.wait().await;
        }
    }

    /// Returns what it has said besides, at most as much as is read at once.
    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut said = vec![0; CHUNK];
        let count = self.log.read(&mut said)?;
        said.truncate(count);
        Ok(said)
    }

    async fn wait(&mut self) {
        let Some(news) = &self.news else { return sleep(LOOK).await };
        // At the deadline it is looked all the same.
        let _ = timeout(LOOK, news.readable()).await;
        // The same is in the log, or will be there in a moment.
        match news.try_read(&mut [0; 4096]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(1..) => {}
            Ok(0) | Err(_) => self.news = None,
        }
    }
}

impl Keys {
    /// Types.
    pub async fn type_in(&mut self, keys: &[u8]) -> io::Result<()> {
        self.socket.write_all(keys).await
    }
}

/// Returns the number of a VM's QEMU, if it is alive.
pub fn qemu(engine: &Engine, name: &VmName) -> Option<u32> {
    let run_lock = engine.registry.dir(name).file(VmDir::RUN_LOCK);
    lock::is_held(&run_lock).ok()?.then(|| detached::find_by_stdin(&run_lock))?.map(|process| process.pid)
}

/// Waits until a VM has a console that has been launched, here or by somebody else, who may have to make its image first.
/// Returns the number of its QEMU.
pub async fn is_there(engine: &Engine, name: &VmName) -> Result<u32, LifecycleError> {
    let dir = engine.registry.dir(name);
    while lock::is_held(&dir.file(VmDir::RUN_LOCK))? {
        if let Some(qemu) = qemu(engine, name).filter(|_| dir.file(VmDir::CONSOLE_LOG).exists()) {
            return Ok(qemu);
        }
        sleep(LOOK).await;
    }
    Err(LifecycleError::Died { name: name.clone(), said: last_words(&dir) })
}

/// Waits until a VM is not alive any more, for as long as that takes. An error when its QEMU did not end by itself, as
/// far as that is known: only of a QEMU that this process has started.
pub async fn ended(engine: &Engine, name: &VmName, qemu: u32) -> Result<(), LifecycleError> {
    let dir = engine.registry.dir(name);
    let run_lock = dir.file(VmDir::RUN_LOCK);
    while lock::is_held(&run_lock)? {
        sleep(LOOK).await;
    }
    let deadline = Instant::now() + STATUS;
    let how = loop {
        match detached::ended(qemu) {
            Ended::NotYet if Instant::now() < deadline => sleep(Duration::from_millis(5)).await,
            Ended::Badly(how) => break how,
            Ended::Well | Ended::NotOurs | Ended::NotYet => return Ok(()),
        }
    };
    let words = last_words(&dir);
    let said = if words.is_empty() { how } else { format!("{how}: {words}") };
    Err(LifecycleError::Crashed { name: name.clone(), said })
}

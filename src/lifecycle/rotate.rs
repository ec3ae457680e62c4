//! Gives a VM new keys. At every moment the key that is kept here is one that the guest lets in: the new one takes the
//! place of the old one only when it has logged in.

use std::fs::File;
use std::time::Duration;

use tokio::time::Instant;

use crate::guest::authorized;
use crate::host::files::{self, FileError};
use crate::host::layout::{Identity, VmDir};
use crate::host::lock;
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::event::{Event, Listener};
use crate::lifecycle::ready::Patience;
use crate::lifecycle::rotate_error::RotateError;
use crate::lifecycle::run::Run;
use crate::lifecycle::{Engine, ready};
use crate::registry::openssh;
use crate::registry::record::Record;
use crate::ssh::command::RemoteCommand;
use crate::ssh::connect::{Session, connect};
use crate::ssh::keys::{self, KeyPair};
use crate::ssh::session::SessionError;
use crate::ssh::target::{Login, Target};
use crate::vm::guest::Guest;
use crate::vm::name::VmName;

/// How long the guest may take for one step; an emulated one is slow.
const STEP: Duration = Duration::from_secs(60);

/// The largest key file that is read, in bytes.
const MAX_KEY: u64 = 16 * 1024;

/// What was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// Whether the VM runs, so that the new login key is in use; else it is from the next start on.
    pub running: bool,
    /// Whether the host key was changed too.
    pub host_key: bool,
}

/// Gives a VM a new login key, and with `host_key` a new host key where that is safe: while the VM is stopped.
///
/// Killed at any moment, it leaves a login that works; the next rotation takes away what was left.
pub async fn rotate(
    engine: &Engine,
    name: &VmName,
    host_key: bool,
    limit: Duration,
    listener: &Listener,
) -> Result<Rotated, LifecycleError> {
    let record = engine.registry.get(name)?;
    let dir = engine.registry.dir(name);
    if record.guest.is_adopted() {
        return Err(RotateError::NotOurs { name: name.clone() }.into());
    }
    // Nobody starts it meanwhile, so the identity is read by nobody.
    if let Some(_stopped) = lock::try_exclusive(&dir.file(VmDir::RUN_LOCK))? {
        let _keys = lock_keys(&dir, name)?;
        let on_its_disk = matches!(record.guest, Guest::Image { .. }) && record.base.is_some();
        if on_its_disk {
            return Err(RotateError::OnItsDisk { name: name.clone() }.into());
        }
        Staged::make(&dir, &record, host_key)?.put_in_place()?;
        forget(&dir)?;
        return Ok(Rotated { running: false, host_key });
    }
    // Before the lock: a launch that reads the keys waits for it.
    let session = ready::session(engine, name, Patience::of(limit), listener).await?;
    let _keys = lock_keys(&dir, name)?;
    let guest = RunningGuest { engine, record: &record, dir: &dir };
    guest.change(session, listener).await?;
    forget(&dir)?;
    Ok(Rotated { running: true, host_key: false })
}

/// Tells whether a rotation was begun that has not come to its end.
pub fn is_unfinished(dir: &VmDir) -> bool {
    dir.file(VmDir::ROTATION).exists()
}

fn lock_keys(dir: &VmDir, name: &VmName) -> Result<File, LifecycleError> {
    let path = dir.file(VmDir::KEYS_LOCK);
    let busy = || LifecycleError::Busy { name: name.clone(), holder: lock::holder(&path) };
    lock::try_exclusive(&path)?.ok_or_else(busy)
}

/// Removes what is only needed while a rotation is under way.
fn forget(dir: &VmDir) -> Result<(), FileError> {
    files::remove_tree_if_there(&dir.file(VmDir::ROTATION))
}

fn read(dir: &VmDir, file: &str) -> Result<String, FileError> {
    let content = files::read_bounded(&dir.file(file), MAX_KEY)?;
    Ok(String::from_utf8_lossy(&content).into_owned())
}

/// An identity with new keys, complete, beside the one that is in use.
struct Staged<'a> {
    dir: &'a VmDir,
    /// A directory laid out like the VM's, in which the new identity lies.
    beside: VmDir,
    login: KeyPair,
}

impl<'a> Staged<'a> {
    fn make(dir: &'a VmDir, record: &Record, host_key: bool) -> Result<Self, LifecycleError> {
        let beside = VmDir::at(dir.file(VmDir::ROTATION));
        files::create_private_dir(beside.path())?;
        files::remove_tree_if_there(&beside.file(VmDir::IDENTITY))?;
        files::copy_flat(&dir.file(VmDir::IDENTITY), &beside.file(VmDir::IDENTITY))?;
        let put = |file: &str, text: &str| files::replace(&beside.file(file), text.as_bytes());
        let login = keys::generate(&format!("ai-vm-{}", record.name))?;
        put(Identity::LOGIN_KEY, &login.private)?;
        put(Identity::LOGIN_PUBLIC_KEY, &login.public)?;
        if host_key {
            let host = keys::generate(&record.name.hostname())?;
            put(Identity::HOST_KEY, &host.private)?;
            put(Identity::HOST_PUBLIC_KEY, &host.public)?;
            let known = openssh::known_host(&record.name, &host.public).unwrap_or_default();
            put(Identity::KNOWN_HOSTS, &known)?;
        }
        Ok(Self { dir, beside, login })
    }

    /// Exchanges the two identities, all of their files at once.
    fn put_in_place(&self) -> Result<(), FileError> {
        let place = self.dir.file(VmDir::IDENTITY);
        files::exchange(&self.beside.file(VmDir::IDENTITY), &place)?;
        files::sync_dir(self.beside.path())?;
        files::sync_dir(self.dir.path())
    }
}

/// A guest that is told of its keys.
struct RunningGuest<'a> {
    engine: &'a Engine,
    record: &'a Record,
    dir: &'a VmDir,
}

impl RunningGuest<'_> {
    async fn change(&self, session: Session, listener: &Listener) -> Result<(), LifecycleError> {
        let name = || self.record.name.clone();
        let boot = Run::read(self.dir).map(|run| run.boot).unwrap_or_default();
        let old = read(self.dir, Identity::LOGIN_PUBLIC_KEY)?;
        let staged = Staged::make(self.dir, self.record, false)?;
        let new = staged.login.public.as_str();
        // Written down before any of them gets into the guest, so that all can be taken out again.
        let touched = format!("{}{old}{new}", read(&staged.beside, VmDir::TOUCHED).unwrap_or_default());
        files::replace(&staged.beside.file(VmDir::TOUCHED), touched.as_bytes())?;
        let gone: Vec<&str> = touched.lines().filter(|key| *key != new.trim_end()).collect();

        listener(Event::Step("giving it the new key".to_owned()));
        let proven = async {
            self.authorize(&session, &boot, &[&old, new], &[])
                .await
                .map_err(|source| RotateError::NotTaken { name: name(), source })?;
            listener(Event::Step("logging in with the new key".to_owned()));
            self.log_in(&staged).await
        };
        let session = match proven.await {
            Ok(session) => session,
            Err(error) => {
                // A private key that is not going to be used is nobody's.
                files::remove_tree_if_there(&staged.beside.file(VmDir::IDENTITY))?;
                return Err(error);
            }
        };
        staged.put_in_place()?;
        listener(Event::Step("taking the old key away".to_owned()));
        self.authorize(&session, &boot, &[new], &gone)
            .await
            .map_err(|source| RotateError::OldStays { name: name(), source }.into())
    }

    /// Lets keys in and takes others away. The error is without a reason when the guest has given none.
    async fn authorize(
        &self,
        session: &Session,
        boot: &str,
        keys: &[&str],
        gone: &[&str],
    ) -> Result<(), Option<Box<SessionError>>> {
        let command: RemoteCommand = match &self.record.guest {
            // NixOS keeps them in the same place, for the same reason.
            Guest::Debian | Guest::Nixos(_) => {
                authorized::in_debian(&self.record.user.to_string(), boot, keys)
            }
            Guest::Image { .. } | Guest::Adopted(_) => authorized::in_image(keys, gone),
        };
        let encoded = command.encode().map_err(|error| Some(Box::new(error.into())))?;
        match session.capture(&encoded.line, Instant::now() + STEP).await {
            Ok(answer) if answer.status == Some(0) => Ok(()),
            Ok(_) => Err(None),
            Err(error) => Err(Some(Box::new(error))),
        }
    }

    async fn log_in(&self, staged: &Staged<'_>) -> Result<Session, LifecycleError> {
        let login = Login::Key { file: staged.beside.file(Identity::LOGIN_KEY), agent: None };
        let target = Target { login, ..ready::target(self.engine, self.record)? };
        connect(&target, STEP, Instant::now() + STEP).await.map_err(|error| {
            RotateError::NotProven { name: self.record.name.clone(), source: Box::new(error) }.into()
        })
    }
}

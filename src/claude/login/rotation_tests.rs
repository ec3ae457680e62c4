//! A login that is copied to many and renewed by all of them: tokens that can be used once, an authority that knows which is
//! the last, guests and a host that renew at any moment, exchanges that are broken off at any step.
//!
//! Everything but the guests' files and the authority is real: the store, the host's file, the exchange.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use authority::{Authority, Renewed, Token, token};
use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};

use super::error::LoginError;
use super::exchange::{Exchange, Pulled, seed};
use super::peer::{Others, Peer, Place, Seen, Which, Written};
use super::store::Store;
use crate::claude::account::Account;
use crate::claude::credentials::Credentials;
use crate::host::data_dir;
use crate::host::env::ClaudeFiles;
use crate::host::layout::Layout;
use crate::vm::name::VmName;

mod authority;

const GUESTS: usize = 8;
const ROUNDS: usize = 1000;

struct World {
    _dir: tempfile::TempDir,
    store: Store,
    host: ClaudeFiles,
    names: Vec<VmName>,
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    authority: Authority,
    files: Vec<Option<Vec<u8>>>,
    random: TestRng,
    /// Whether steps are broken off, and whether others renew between them.
    faults: bool,
    beside: bool,
    broken: usize,
    harmed: usize,
    wrote: usize,
}

impl Shared {
    fn renew(&mut self, who: usize) -> Renewed {
        self.authority.renew(&mut self.files[who])
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.random.next_u64() % bound as u64) as usize
    }

    /// What can happen before and after each step that an exchange takes.
    fn happens(&mut self) -> Result<(), LoginError> {
        if self.beside && self.below(4) == 0 {
            let who = self.below(GUESTS);
            self.renew(who);
        }
        if self.faults && self.below(12) == 0 {
            self.broken += 1;
            return Err(LoginError::NoAnswer { name: "killed".parse().unwrap(), seconds: 0 });
        }
        Ok(())
    }
}

struct Guest {
    at: usize,
    shared: Arc<Mutex<Shared>>,
}

impl Peer for Guest {
    async fn read(&mut self) -> Result<Seen, LoginError> {
        let mut shared = self.shared.lock().unwrap();
        shared.happens()?;
        let login = shared.files[self.at].clone().map_or(Place::Empty, Place::File);
        shared.happens()?;
        Ok(Seen { login, account: Account::default(), token: None })
    }

    async fn write(&mut self, which: Which, expected: &str, content: &[u8]) -> Result<Written, LoginError> {
        assert_eq!(which, Which::Login);
        let mut shared = self.shared.lock().unwrap();
        shared.happens()?;
        let there = shared.files[self.at].clone().map_or(Place::Empty, Place::File);
        if there.sum() != expected {
            return Ok(Written::Changed);
        }
        let live =
            |file: Option<&[u8]>| file.and_then(token).is_some_and(|token| shared.authority.is_live(token));
        let had = match &there {
            Place::File(content) => live(Some(content)),
            _ => false,
        };
        if had && !live(Some(content)) {
            shared.harmed += 1;
        }
        shared.wrote += 1;
        shared.files[self.at] = Some(content.to_vec());
        shared.happens()?;
        Ok(Written::Done)
    }

    async fn wipe(&mut self, _: bool) -> Result<(), LoginError> {
        panic!("nobody wipes here")
    }
}

/// All guests but one.
struct Rest<'a> {
    world: &'a World,
    except: usize,
}

impl Others for Rest<'_> {
    async fn fetch(&mut self) {
        for at in (0..GUESTS).filter(|at| *at != self.except) {
            let _ = self.world.pull(at).await;
        }
    }
}

impl World {
    fn new(seed: u8) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let layout: Layout = data_dir::open(&dir.path().join("data")).unwrap();
        let host = ClaudeFiles { dir: dir.path().join("claude"), state: dir.path().join("claude.json") };
        std::fs::create_dir(&host.dir).unwrap();
        let mut authority = Authority::default();
        std::fs::write(host.credentials(), authority.log_in()).unwrap();
        let shared = Shared {
            authority,
            files: vec![None; GUESTS],
            random: TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]),
            faults: true,
            beside: false,
            broken: 0,
            harmed: 0,
            wrote: 0,
        };
        let names = (0..GUESTS).map(|at| format!("g{at}").parse().unwrap()).collect();
        Self { store: Store::new(&layout), host, names, _dir: dir, shared: Arc::new(Mutex::new(shared)) }
    }

    fn host_file(&self) -> PathBuf {
        self.host.credentials()
    }

    fn exchange(&self, at: usize) -> (Exchange<'_>, Guest) {
        let exchange = Exchange { store: &self.store, host: Some(&self.host), name: &self.names[at] };
        (exchange, Guest { at, shared: Arc::clone(&self.shared) })
    }

    async fn push(&self, at: usize) -> Result<(), LoginError> {
        let (exchange, mut guest) = self.exchange(at);
        exchange.push(&mut guest, &mut Rest { world: self, except: at }).await.map(drop)
    }

    async fn pull(&self, at: usize) -> Result<Pulled, LoginError> {
        let (exchange, mut guest) = self.exchange(at);
        exchange.pull(&mut guest).await
    }

    /// The host's own Claude Code renews its login; who has been logged out by the others' renewals logs in again, if
    /// that is what the world is like.
    fn host_renews(&self, logs_in: bool) {
        let mut shared = self.shared.lock().unwrap();
        let mut file = std::fs::read(self.host_file()).ok();
        let renewed = shared.authority.renew(&mut file);
        if renewed != Renewed::Done && logs_in {
            file = Some(shared.authority.log_in());
        }
        std::fs::write(self.host_file(), file.unwrap_or_default()).unwrap();
    }

    /// Every token that somebody has.
    fn tokens(&self) -> Vec<Token> {
        let shared = self.shared.lock().unwrap();
        let host = std::fs::read(self.host_file()).unwrap();
        let kept = self.store.held().unwrap().map(|held| held.credentials.put_into(None).unwrap());
        shared.files.iter().flatten().chain([&host]).chain(&kept).filter_map(|file| token(file)).collect()
    }

    /// What was issued last is still somewhere. Of two chains that can both be gone on with, one is enough for everybody.
    fn newest_is_there(&self) {
        let tokens = self.tokens();
        let newest = self.shared.lock().unwrap().authority.newest;
        assert!(tokens.contains(&newest), "{newest:?} is lost, there are {tokens:?}");
    }

    fn live(&self) -> usize {
        let shared = self.shared.lock().unwrap();
        let live = |file: &&Vec<u8>| token(file).is_some_and(|token| shared.authority.is_live(token));
        shared.files.iter().flatten().filter(live).count()
    }
}

/// Lets everything happen in any order. `logs_in`: whether the host's user logs in again, which begins another chain.
/// `faults`: whether exchanges are broken off.
async fn live_through(number: u8, logs_in: bool, faults: bool) {
    let world = World::new(number);
    world.shared.lock().unwrap().faults = faults;
    let below = |bound| world.shared.lock().unwrap().below(bound);
    // With one chain others may renew in the middle of an exchange too: all that is older than the newest is dead anyway.
    world.shared.lock().unwrap().beside = !logs_in;
    let mut removed = 0;
    for round in 0..ROUNDS {
        let who = below(GUESTS);
        let before = std::fs::read(world.host_file()).unwrap();
        match below(10) {
            0..4 => {
                world.shared.lock().unwrap().renew(who);
            }
            4 => {
                world.host_renews(logs_in);
                world.newest_is_there();
                continue;
            }
            5 => drop(world.pull(who).await),
            // The VM is removed, and made anew: only after its login has been fetched, unless it had none.
            6 if world.pull(who).await.is_ok() => {
                // Between the fetch and the end nothing renews here: a guest that does so is lost with its disk.
                let beside = std::mem::replace(&mut world.shared.lock().unwrap().beside, false);
                if world.pull(who).await.is_ok() {
                    world.shared.lock().unwrap().files[who] = None;
                    removed += 1;
                }
                world.shared.lock().unwrap().beside = beside;
            }
            _ => drop(world.push(who).await),
        }
        assert_eq!(
            std::fs::read(world.host_file()).unwrap(),
            before,
            "round {round} changed the host's file"
        );
        world.newest_is_there();
    }
    let (broken, harmed, wrote) = {
        let mut shared = world.shared.lock().unwrap();
        (shared.faults, shared.beside) = (false, false);
        (shared.broken, shared.harmed, shared.wrote)
    };
    // With two chains, a guest can have the last of the older one, and get a login of the newer one that another guest has
    // renewed unseen, if that one was asked and did not answer. The next exchange with it puts that right.
    let tolerated = if logs_in && faults { wrote / 50 } else { 0 };
    assert!(
        harmed <= tolerated,
        "{harmed} of {wrote} logins that could be renewed were replaced by worthless ones"
    );
    assert!(
        (broken > 50) == faults && wrote > 100 && removed > 10,
        "nothing happened: {broken} {wrote} {removed}"
    );
    // Once everybody has been asked, everybody has the newest.
    for _ in 0..2 {
        for at in 0..GUESTS {
            world.push(at).await.unwrap();
        }
    }
    assert_eq!(world.live(), GUESTS);
}

fn run(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
}

#[test]
fn one_login_renewed_by_all_at_any_moment() {
    for number in 0..2 {
        run(live_through(number, false, true));
    }
}

#[test]
fn a_host_whose_user_logs_in_again_and_again() {
    for number in 10..12 {
        run(live_through(number, true, true));
    }
}

#[test]
fn two_chains_harm_nobody_as_long_as_all_answer() {
    for number in 20..23 {
        run(live_through(number, true, false));
    }
}

#[test]
fn a_guest_gets_what_another_one_has_renewed_unseen() {
    let world = World::new(98);
    world.shared.lock().unwrap().faults = false;
    run(async { world.push(0).await.unwrap() });
    {
        let mut shared = world.shared.lock().unwrap();
        assert_eq!(shared.renew(0), Renewed::Done);
        // One that has another chain, which it could go on with; the third has none yet.
        shared.files[1] = Some(shared.authority.log_in_earlier());
    }
    run(async {
        world.push(1).await.unwrap();
        world.push(2).await.unwrap();
    });
    assert_eq!((world.live(), world.shared.lock().unwrap().harmed), (3, 0));
}

#[test]
fn what_is_lost_if_nobody_looked_would_be_noticed() {
    // The simulation itself: the old way, which overwrote whatever was in a guest, does harm here.
    let world = World::new(99);
    seed(&world.store, Some(&world.host)).unwrap();
    let old = std::fs::read(world.host_file()).unwrap();
    let mut shared = world.shared.lock().unwrap();
    shared.files[0] = Some(old.clone());
    assert_eq!(shared.renew(0), Renewed::Done);
    shared.faults = false;
    let expected = Place::File(shared.files[0].clone().unwrap()).sum();
    drop(shared);
    run(async {
        let mut guest = Guest { at: 0, shared: Arc::clone(&world.shared) };
        guest.write(Which::Login, &expected, &old).await.unwrap();
    });
    assert_eq!(world.shared.lock().unwrap().harmed, 1);
    assert!(Credentials::parse(&old).is_ok());
}

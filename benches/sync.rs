//! Sends a configuration of Claude Code of 2,000 files to a machine, beside rsync, which people would otherwise use and which
//! filters nothing. One real server on this machine serves both, and the runs take turns. Run with
//! `cargo bench --bench sync`, on a machine that has rsync and time; `-- --rounds 3` is a shorter look.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark prints and panics"
)]

use std::cell::Cell;
use std::fs;
use std::path::Path;

#[expect(dead_code, reason = "shared with the tests")]
#[path = "../tests/support/home.rs"]
mod home;
#[expect(dead_code, reason = "shared with other benchmarks")]
#[path = "bench/measure.rs"]
mod measure;
#[expect(dead_code, reason = "shared with other benchmarks")]
#[path = "bench/openssh.rs"]
mod openssh;
#[expect(dead_code, reason = "shared with the tests")]
#[path = "../tests/support/sshd.rs"]
mod sshd;

use measure::{Background, Contender, Runs, compare, installed};
use openssh::Bench;

const FILES: usize = 2000;
const ROUNDS: usize = 15;

/// The modes of our connections: one of its own, and one that is kept.
const WAYS: [(&str, &[&str]); 2] = [("cold", &["--no-mux"]), ("warm", &[])];

fn main() {
    if !installed("rsync") {
        return;
    }
    let rounds = std::env::args().skip_while(|arg| arg != "--rounds").nth(1);
    let rounds = rounds.map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let bench = Bench::new(1);
    let home = bench.dir().join("here");
    make_config(&home.join(".claude"));
    println!("a configuration of {FILES} files, median of {rounds} runs");

    // What was sent last is put aside: a file system can be slow for seconds after many files have been removed from it.
    let (aside, count) = (bench.dir().join("aside"), Cell::new(0));
    fs::create_dir(&aside).unwrap();
    let (ours_there, theirs_there) = (bench.dir().join(".claude"), bench.dir().join("rsynced"));
    let clear = || {
        for there in [&ours_there, &theirs_there].into_iter().filter(|there| there.exists()) {
            count.set(count.get() + 1);
            fs::rename(there, aside.join(count.get().to_string())).unwrap();
        }
    };
    let from = format!("{}/.claude/", home.display());
    let to = format!("vm-0:{}", theirs_there.display());
    let rsync = || bench.over_ssh("rsync", &["-a", "-e", "SSH_COMMAND", &from, &to]);
    for (way, options) in WAYS {
        let ours = ours(&bench, &home, options).after(&clear).aiming_at("0.65x");
        let theirs = Contender::new("rsync -a", rsync()).after(&clear);
        compare(&format!("first, {way}"), rounds, Runs::Short, &[ours], &theirs);
    }
    for ((way, options), goal) in WAYS.into_iter().zip(["0.35x", "0.2x"]) {
        let ours = ours(&bench, &home, options).aiming_at(goal);
        compare(&format!("same, {way}"), rounds, Runs::Short, &[ours], &Contender::new("rsync -a", rsync()));
    }
}

/// A sync of ours.
fn ours<'a>(bench: &'a Bench, home: &Path, way: &[&str]) -> Contender<'a> {
    let mut command = bench.ai_vm(&[&["sync", "vm-0"], way].concat());
    command.env("HOME", home);
    let holder: Option<&dyn Background> = if way.is_empty() { Some(bench) } else { None };
    Contender::new(if way.is_empty() { "ai-vm sync" } else { "ai-vm sync --no-mux" }, command).with(holder)
}

/// Makes skills of ten files of one to four KiB each, and settings.
fn make_config(top: &Path) {
    for number in 0..FILES - 1 {
        let dir = top.join(format!("skills/skill-{}", number / 10));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(format!("file-{number}.md")), vec![b'x'; 1024 + number * 37 % 3072]).unwrap();
    }
    fs::write(top.join("settings.json"), "{\"model\": \"opus\"}").unwrap();
}

//! Copies into a machine and out of it, beside the tools that people would otherwise use: rsync, scp and tar over ssh.
//! One real server on this machine serves all, the runs take turns, and both sides lie in one directory: below `TMPDIR`,
//! so that a disk can be kept out of it. Run with `cargo bench --bench copy`, on a machine that has rsync and time, or
//! a part of it with `-- tree`, `-- large` or `-- memory`; `-- --size 10G` also copies a file of that size, for the
//! memory that it takes.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark prints and panics"
)]

use std::cell::Cell;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

#[expect(dead_code, reason = "shared with the tests")]
#[path = "../tests/support/home.rs"]
mod home;
#[path = "bench/measure.rs"]
mod measure;
#[expect(dead_code, reason = "shared with other benchmarks")]
#[path = "bench/openssh.rs"]
mod openssh;
#[expect(dead_code, reason = "shared with the tests")]
#[path = "../tests/support/sshd.rs"]
mod sshd;

use ai_vm::vm::size::DiskSize;
use measure::{Background, Contender, Runs, compare, installed};
use openssh::Bench;

const TREE_ROUNDS: usize = 15;
const LARGE_ROUNDS: usize = 5;
const FILES: usize = 2000;
const LARGE: u64 = 512 << 20;

/// The modes of our connections: one of its own, and one that is kept.
const WAYS: [(&str, &[&str]); 2] = [("cold", &["--no-mux"]), ("warm", &[])];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let parts = ["tree", "large", "memory"];
    let some = args.iter().any(|arg| parts.contains(&arg.as_str()));
    let wanted = |part: &str| !some || args.iter().any(|arg| arg == part);
    let bench = Bench::new(1);
    let dir = bench.dir().join("files");
    fs::create_dir(&dir).unwrap();
    if wanted("tree") && installed("rsync") {
        println!("a tree of {FILES} small files, median of {TREE_ROUNDS} runs");
        make_tree(&dir.join("tree"));
        new_tree(&bench, &dir);
        same_tree(&bench, &dir);
    }
    if wanted("large") {
        println!("a file of {} MiB, median of {LARGE_ROUNDS} runs", LARGE >> 20);
        make_file(&dir.join("large"), LARGE);
        large(&bench, &dir);
    }
    if wanted("memory") {
        println!("memory of ai-vm beside what it takes for a file of 1 KiB");
        let mut sizes = vec![LARGE];
        let size = args.iter().skip_while(|arg| *arg != "--size").nth(1);
        sizes.extend(size.map(|size| size.parse::<DiskSize>().unwrap().bytes()));
        memory(&bench, &dir, &sizes);
    }
}

/// Into a place where there is nothing yet. What was copied last is put aside: a file system can be slow for seconds
/// after many files have been removed from it.
fn new_tree(bench: &Bench, dir: &Path) {
    let (to, aside, count) = (dir.join("new"), dir.join("aside"), Cell::new(0));
    fs::create_dir(&aside).unwrap();
    let clear = || {
        count.set(count.get() + 1);
        if to.exists() {
            fs::rename(&to, aside.join(count.get().to_string())).unwrap();
        }
    };
    let from = text(&dir.join("tree"));
    let rsync = bench.over_ssh("rsync", &["-a", "-e", "SSH_COMMAND", &format!("{from}/"), &there(&to)]);
    let theirs = Contender::new("rsync -a", rsync).after(&clear);
    for (way, options) in WAYS {
        let ours = ours(bench, &["-r"], options, &from, &there(&to)).after(&clear).aiming_at("0.65x");
        compare(&format!("new, {way}"), TREE_ROUNDS, Runs::Short, &[ours], &theirs);
    }
    fs::remove_dir_all(&aside).unwrap();
}

/// Into a place where everything is already.
fn same_tree(bench: &Bench, dir: &Path) {
    let (from, to) = (text(&dir.join("tree")), there(&dir.join("new")));
    let rsync = bench.over_ssh("rsync", &["-a", "-e", "SSH_COMMAND", &format!("{from}/"), &to]);
    let theirs = Contender::new("rsync -a", rsync);
    for ((way, options), goal) in WAYS.into_iter().zip(["0.35x", "0.2x"]) {
        let ours = ours(bench, &["-r", "-u"], options, &format!("{from}/."), &to).aiming_at(goal);
        compare(&format!("same, {way}"), TREE_ROUNDS, Runs::Short, &[ours], &theirs);
    }
}

/// One large file, in both directions.
fn large(bench: &Bench, dir: &Path) {
    let (here, away) = (text(&dir.join("large")), text(&dir.join("arrived")));
    let (from, to) = (there(&dir.join("large")), there(&dir.join("arrived")));
    let clear = || match fs::remove_file(&away) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
        _ => {}
    };
    let below = text(dir);
    let unpack = format!("tar -xf - -C {below} --transform=s/large/arrived/");
    let pack = format!("tar -cf - -C {below} large");
    let piped = |script: String| bench.over_ssh("sh", &["-c", &script]);
    let push = [
        ("scp", bench.scp(&here, &to)),
        ("tar over ssh", piped(format!("{pack} | SSH_COMMAND vm-0 {unpack}"))),
    ];
    let pull = [
        ("scp", bench.scp(&from, &away)),
        ("tar over ssh", piped(format!("SSH_COMMAND vm-0 {pack} | {unpack}"))),
    ];
    for (what, source, target, tools) in [("push", &here, &to, push), ("pull", &from, &away, pull)] {
        for (name, command) in tools {
            let theirs = Contender::new(name, command).after(&clear);
            for (way, options) in WAYS {
                let ours = ours(bench, &[], options, source, target).after(&clear).aiming_at("1.00x");
                compare(&format!("{what}, {way}"), LARGE_ROUNDS, Runs::Short, &[ours], &theirs);
            }
        }
    }
    clear();
}

/// How much more memory a large file takes than a small one. A connection of its own keeps everything in one process.
fn memory(bench: &Bench, dir: &Path, sizes: &[u64]) {
    let (file, arrived) = (dir.join("file"), dir.join("arrived"));
    for (what, from, to) in [("push", text(&file), there(&arrived)), ("pull", there(&file), text(&arrived))] {
        let copy = || {
            let ours = ours(bench, &[], &["--no-mux"], &from, &to);
            ours.run(Runs::Long).peak_mib()
        };
        allocate(&file, 1024);
        let small = copy();
        for size in sizes {
            allocate(&file, *size);
            let peak = copy();
            println!(
                "{what:<14} {:7} MiB: peak {peak:5.1} MiB, {:+.1} MiB   (goal +32 MiB)",
                size >> 20,
                peak - small
            );
        }
        fs::remove_file(&arrived).unwrap();
    }
}

/// A copy of ours.
fn ours<'a>(bench: &'a Bench, how: &[&str], way: &[&str], from: &str, to: &str) -> Contender<'a> {
    let command: Command = bench.ai_vm(&[&["cp"], way, how, &[from, to]].concat());
    let holder: Option<&dyn Background> = if way.is_empty() { Some(bench) } else { None };
    Contender::new(if way.is_empty() { "ai-vm cp" } else { "ai-vm cp --no-mux" }, command).with(holder)
}

fn there(path: &Path) -> String {
    format!("vm-0:{}", path.display())
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// Makes files of one to four KiB, a hundred in a directory.
fn make_tree(top: &Path) {
    for number in 0..FILES {
        let dir: PathBuf = top.join(format!("dir-{}", number / 100));
        fs::create_dir_all(&dir).unwrap();
        let size = 1024 + number * 37 % 3072;
        fs::write(dir.join(format!("file-{number}")), vec![b'x'; size]).unwrap();
    }
}

/// Makes a file of bytes that are not all alike.
fn make_file(path: &Path, size: u64) {
    let block: Vec<u8> =
        (0..1u32 << 18).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let mut file = File::create(path).unwrap();
    for _ in 0..size >> 20 {
        std::io::Write::write_all(&mut file, &block).unwrap();
    }
}

/// Makes a file of zeros that takes as much room as its size: one with holes would be sent without them.
fn allocate(path: &Path, size: u64) {
    let file = File::create(path).unwrap();
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, size).unwrap();
}

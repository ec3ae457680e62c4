//! What all agents of 16 machines do, beside the same of one machine. One real server on this machine serves all; the runs
//! take turns. Of guests that take their time to answer, on processors of their own, all should answer within twice as
//! long as one. Run with `cargo bench --bench agents`, on a machine that has time and tmux.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark prints and panics"
)]

#[expect(dead_code, reason = "shared with the tests")]
#[path = "../tests/support/home.rs"]
mod home;
#[expect(dead_code, reason = "shared with the other benchmarks")]
#[path = "bench/measure.rs"]
mod measure;
#[expect(dead_code, reason = "shared with the other benchmarks")]
#[path = "bench/openssh.rs"]
mod openssh;
#[expect(dead_code, reason = "shared with the tests")]
#[path = "../tests/support/sshd.rs"]
mod sshd;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use measure::{Contender, Runs, compare};
use openssh::Bench;

const ROUNDS: usize = 10;
const FLEET: usize = 16;

/// How many agents each machine has.
const AGENTS: usize = 8;

fn main() {
    let bench = Bench::new(FLEET);
    for number in 0..AGENTS {
        let dir = bench.dir().join(format!(".local/state/ai-vm/agents/{number:012x}"));
        fs::create_dir_all(&dir).unwrap();
        for (name, text) in
            [("kind", "session"), ("begun", "1"), ("exit", "0"), ("cwd", "/srv"), ("prompt", "fix it")]
        {
            fs::write(dir.join(name), format!("{text}\n")).unwrap();
        }
    }
    println!("{AGENTS} agents in each of {FLEET} machines, against those of one: median of {ROUNDS} runs");
    side_by_side("one host", &bench, "-");
    // An emulated guest takes so long, and it does not take it from others.
    let bin = bench.dir().join("bin");
    fs::create_dir(&bin).unwrap();
    fs::write(bin.join("pgrep"), "#!/bin/sh\nsleep 0.5\n").unwrap();
    fs::set_permissions(bin.join("pgrep"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(bench.dir().join(".bash_profile"), "PATH=\"$HOME/bin:$PATH\"\n").unwrap();
    side_by_side("0.5 s each", &bench, "2x");
}

fn side_by_side(what: &str, bench: &Bench, goal: &'static str) {
    let all = Contender::new("ai-vm agents", bench.ai_vm(&["agents"])).with(Some(bench)).aiming_at(goal);
    let one = Contender::new("ai-vm agents vm-0", bench.ai_vm(&["agents", "vm-0"])).with(Some(bench));
    compare(what, ROUNDS, Runs::Short, &[all], &one);
}

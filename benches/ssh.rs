//! One command in one machine and in 128, beside the tools that people would otherwise use: OpenSSH (also over a warm
//! ControlMaster), pssh and clush. One real server on this machine serves all; the runs take turns. Run with
//! `cargo bench --bench ssh`, on a machine that has pssh, clustershell and time.
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
#[expect(dead_code, reason = "shared with other benchmarks")]
#[path = "bench/measure.rs"]
mod measure;
#[expect(dead_code, reason = "shared with other benchmarks")]
#[path = "bench/openssh.rs"]
mod openssh;
#[expect(dead_code, reason = "shared with the tests")]
#[path = "../tests/support/sshd.rs"]
mod sshd;

use measure::{Contender, compare, installed};
use openssh::Bench;

const ONE_ROUNDS: usize = 40;
const FLEET_ROUNDS: usize = 7;
const FLEET: usize = 128;

fn main() {
    let bench = Bench::new(FLEET);
    println!("`true` in one machine: the whole process, median of {ONE_ROUNDS} runs");
    one(&bench);
    println!("`hostname` in {FLEET} machines, median of {FLEET_ROUNDS} runs");
    fleet(&bench);
}

fn one(bench: &Bench) {
    let cold =
        Contender::new("ai-vm exec --no-mux", bench.ai_vm(&["exec", "--no-mux", "vm-0", "--", "true"]));
    compare("cold", ONE_ROUNDS, &cold, &Contender::new("ssh", bench.ssh(false, "true")), "0.42x");
    let warm = Contender::new("ai-vm exec", bench.ai_vm(&["exec", "vm-0", "--", "true"])).with(Some(bench));
    let master = Contender::new("ssh, ControlMaster", bench.ssh(true, "true"));
    compare("warm", ONE_ROUNDS, &warm, &master, "0.42x");
}

fn fleet(bench: &Bench) {
    let run = |args: &[&str]| bench.ai_vm(&[args, &["--all", "--", "hostname"]].concat());
    let cold = Contender::new("ai-vm exec --no-mux", run(&["exec", "--no-mux"]));
    let warm = Contender::new("ai-vm exec", run(&["exec"])).with(Some(bench));
    if installed("parallel-ssh") {
        let pssh = Contender::new("pssh", bench.pssh("hostname"));
        compare("cold", FLEET_ROUNDS, &cold, &pssh, "0.65x");
        compare("warm", FLEET_ROUNDS, &warm, &pssh, "0.12x");
    }
    if installed("clush") {
        let clush = Contender::new("clush", bench.clush("hostname"));
        compare("cold", FLEET_ROUNDS, &cold, &clush, "-");
        compare("warm", FLEET_ROUNDS, &warm, &clush, "-");
    }
}

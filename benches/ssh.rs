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
#[path = "bench/measure.rs"]
mod measure;
#[path = "bench/openssh.rs"]
mod openssh;
#[expect(dead_code, reason = "shared with the tests")]
#[path = "../tests/support/sshd.rs"]
mod sshd;

use measure::{compare, installed};
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
    let cold = bench.ai_vm(&["exec", "--no-mux", "vm-0", "--", "true"]);
    compare(
        "cold",
        ONE_ROUNDS,
        ("ai-vm exec --no-mux", cold, None),
        ("ssh", bench.ssh(false, "true")),
        "0.42x",
    );
    let warm = bench.ai_vm(&["exec", "vm-0", "--", "true"]);
    let master = bench.ssh(true, "true");
    compare("warm", ONE_ROUNDS, ("ai-vm exec", warm, Some(bench)), ("ssh, ControlMaster", master), "0.42x");
}

fn fleet(bench: &Bench) {
    let cold = || bench.ai_vm(&["exec", "--no-mux", "--all", "--", "hostname"]);
    let warm = || bench.ai_vm(&["exec", "--all", "--", "hostname"]);
    if installed("parallel-ssh") {
        let pssh = || bench.pssh("hostname");
        compare("cold", FLEET_ROUNDS, ("ai-vm exec --no-mux", cold(), None), ("pssh", pssh()), "0.65x");
        compare("warm", FLEET_ROUNDS, ("ai-vm exec", warm(), Some(bench)), ("pssh", pssh()), "0.12x");
    }
    if installed("clush") {
        let clush = || bench.clush("hostname");
        compare("cold", FLEET_ROUNDS, ("ai-vm exec --no-mux", cold(), None), ("clush", clush()), "-");
        compare("warm", FLEET_ROUNDS, ("ai-vm exec", warm(), Some(bench)), ("clush", clush()), "-");
    }
}

impl measure::Background for Bench {
    fn cpu(&self) -> std::time::Duration {
        self.holder_cpu()
    }
}

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
#[expect(dead_code, reason = "shared with the other benchmarks")]
#[path = "bench/measure.rs"]
mod measure;
#[expect(dead_code, reason = "shared with the other benchmarks")]
#[path = "bench/openssh.rs"]
mod openssh;
#[expect(dead_code, reason = "shared with the tests")]
#[path = "../tests/support/sshd.rs"]
mod sshd;

use measure::{Contender, Runs, compare, installed};
use openssh::Bench;

const ONE_ROUNDS: usize = 40;
/// Few, because one round of the others takes a quarter of a minute.
const FLEET_ROUNDS: usize = 3;
const FLEET: usize = 128;

fn main() {
    let bench = Bench::new(FLEET);
    println!("`true` in one machine: the whole process, median of {ONE_ROUNDS} runs");
    one(&bench);
    println!("`hostname` in {FLEET} machines, median of {FLEET_ROUNDS} runs");
    fleet(&bench);
}

fn one(bench: &Bench) {
    let ssh = |name, warm| Contender::new(name, bench.ssh(warm, "true"));
    let [cold, warm] = ours(bench, &["vm-0", "--", "true"], ["0.42x", "0.42x"]);
    compare("cold", ONE_ROUNDS, Runs::Short, &[cold], &ssh("ssh", false));
    compare("warm", ONE_ROUNDS, Runs::Short, &[warm], &ssh("ssh, ControlMaster", true));
}

/// The others have no connections that are kept, so one run of them is there for both of ours.
fn fleet(bench: &Bench) {
    let others = [
        ("parallel-ssh", bench.pssh("hostname"), ["0.65x", "0.12x"]),
        ("clush", bench.clush("hostname"), ["-", "-"]),
    ];
    for (name, command, goals) in others.into_iter().filter(|(name, ..)| installed(name)) {
        let ours = ours(bench, &["--all", "--", "hostname"], goals);
        compare("fleet", FLEET_ROUNDS, Runs::Long, &ours, &Contender::new(name, command));
    }
}

/// A command on new connections, and on kept ones.
fn ours<'a>(bench: &'a Bench, args: &[&str], goals: [&'static str; 2]) -> [Contender<'a>; 2] {
    let cold = bench.ai_vm(&[&["exec", "--no-mux"], args].concat());
    let warm = bench.ai_vm(&[&["exec"], args].concat());
    [
        Contender::new("ai-vm exec --no-mux", cold).aiming_at(goals[0]),
        Contender::new("ai-vm exec", warm).with(Some(bench)).aiming_at(goals[1]),
    ]
}
